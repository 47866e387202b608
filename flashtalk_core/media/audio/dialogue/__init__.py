"""Voices of several speakers: when each is heard, their mix, and what is analysed of each."""
