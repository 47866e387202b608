"""Procedural training data: drawn talking faces and speech whose mouth is known."""
