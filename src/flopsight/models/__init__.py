"""From a config to a tree of parts: sources, families, blocks, and the ledger of what they cost."""
