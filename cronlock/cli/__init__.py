"""The command line, read by click; no other package imports it."""
