"""The lock protocol. Nothing in here opens a socket."""
