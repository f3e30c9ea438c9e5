"""Options, settings files and the environment."""
