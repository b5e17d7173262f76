"""The leaves of a model, one kind a file; each knows its stored tensors and the work of one forward pass."""
