"""Published measurements run against our formulas: what recomputes, what does not, and by how much."""
