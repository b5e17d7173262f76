"""Count what a PyTorch program does."""
