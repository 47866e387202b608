"""Weights that wait in host memory and are copied to the device while the block before computes."""
