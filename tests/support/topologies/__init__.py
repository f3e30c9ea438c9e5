"""Each topology with each server version, used as in production, on real servers. README.md has the table."""
