"""Kernels in Triton; its modules can be imported only where Triton is installed."""
