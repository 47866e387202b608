"""Drawn talking faces whose mouth is known: the training data of the small model."""
