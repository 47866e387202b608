"""Measurements of what users are promised: speed, memory, audio in sync, lips in sync."""
