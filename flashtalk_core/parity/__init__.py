"""Comparison of this code with numbers of the authors' code, on any device and in any dtype."""
