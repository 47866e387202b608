"""Samples out of sound files of any kind, at one rate and one layout."""
