"""The command as a process: start, group, signals, terminal, guard."""
