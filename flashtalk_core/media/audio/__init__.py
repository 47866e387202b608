"""Audio: measured once, mixed and resampled for the model, cut into its windows."""
