"""Matrices in the few bits that files have them in, unpacked where they are used."""
