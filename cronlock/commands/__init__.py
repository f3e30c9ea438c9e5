"""One module for each subcommand other than `run`."""
