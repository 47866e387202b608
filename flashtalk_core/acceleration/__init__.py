"""Fused, compiled and FP8 execution of the networks, and the kernels behind it."""
