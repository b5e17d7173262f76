"""Named ways of counting FLOPs; each is a selection of terms of the same ledger, and a file of its own."""
