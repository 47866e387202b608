"""The diffusion transformer with its attention to the sound."""
