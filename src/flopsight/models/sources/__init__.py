"""Where a model comes from: a JSON config, a safetensors or GGUF header, a hub id; read within bounds, never run."""
