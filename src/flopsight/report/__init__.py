"""Results as values: each prints as text, HTML and JSON, and its JSON has a schema."""
