"""The life of one `cronlock run`."""
