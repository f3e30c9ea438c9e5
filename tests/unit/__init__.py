"""Tests that need no server process."""
