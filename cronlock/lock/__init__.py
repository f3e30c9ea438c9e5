"""The Redlock: the record that voters keep, and how one node asks them for it."""
