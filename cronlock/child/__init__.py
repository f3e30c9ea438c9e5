"""The command as a process: its start, its group, its signals, its end."""
