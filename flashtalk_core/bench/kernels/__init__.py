"""Measures of single kernels, each beside the others that could take its place."""
