"""Topology x server version: each pair is used as people use it, on real servers. tests/README.md has the table."""
