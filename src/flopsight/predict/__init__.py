"""From a ledger and a machine to seconds: what a step takes, what binds it, what memory it needs, and how sure that is."""
