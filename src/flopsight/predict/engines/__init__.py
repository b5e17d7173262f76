"""Software that runs a model: what each adds to the time of its kernels, one file an engine."""
