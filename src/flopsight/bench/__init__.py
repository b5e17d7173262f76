"""Run a model here, and put what was predicted beside what was measured."""
