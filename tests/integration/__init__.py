"""Tests on real servers and real processes."""
