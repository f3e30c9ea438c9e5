"""cronlock: one scheduled run on one machine, when several machines share a crontab."""

__version__ = "0.1.0"
