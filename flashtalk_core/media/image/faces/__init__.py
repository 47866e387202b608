"""Faces in an image, and the part of it that is framed as portraits are."""
