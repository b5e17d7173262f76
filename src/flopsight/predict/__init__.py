"""From a ledger and a machine to seconds: what a step takes, what binds it, and how sure that is."""
