"""What cronlock costs: see tests/README.md."""
