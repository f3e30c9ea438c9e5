"""`cronlock check`: one module for each kind of finding."""
