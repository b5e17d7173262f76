"""What a GPU is asked when one can be had: `make gpu-check`."""
