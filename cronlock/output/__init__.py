"""Formats for what commands print."""
