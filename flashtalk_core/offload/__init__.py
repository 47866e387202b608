"""Weights in host memory, copied to the device while the block before computes."""
