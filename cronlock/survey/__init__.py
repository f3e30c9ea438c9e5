"""Reads many records in bulk for the commands."""
