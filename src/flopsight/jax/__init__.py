"""Count what a JAX function does."""
