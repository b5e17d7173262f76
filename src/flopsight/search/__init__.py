"""Many predictions side by side: layouts, Pareto fronts, and the flags that launch them."""
