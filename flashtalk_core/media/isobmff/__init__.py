"""Boxes of MP4 files: fragments, counts, metadata, and a file made plain at its end."""
