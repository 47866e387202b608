"""The causal video autoencoder of Wan 2.1."""
