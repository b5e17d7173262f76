"""Meter a running training or inference loop without disturbing it."""
