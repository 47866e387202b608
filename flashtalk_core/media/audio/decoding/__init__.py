"""Samples out of audio files of any kind, at one rate and one layout."""
