"""The diffusion transformer with its audio cross-attention."""
