"""Crontabs, their lines and the ticks of a schedule."""
