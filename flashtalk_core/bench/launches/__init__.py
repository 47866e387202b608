"""What it costs to launch kernels one by one, and as CUDA graphs."""
