"""Published measurements against predictions: one file a kind of row."""
