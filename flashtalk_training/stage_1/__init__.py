"""Stage 1: the autoencoder, the audio encoder and the transformer trained with true clips."""
