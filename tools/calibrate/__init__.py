"""Fits coefficients from published measurements; nothing here runs at prediction time."""
