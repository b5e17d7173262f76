"""`flopsight run -- python train.py`: a meter in a program that does not know of it."""
