"""Schedule, steps and noise of the denoising loop: pure functions."""
