"""Tests that need root and Debian packages: cron, systemd, PID 1, namespaces."""
