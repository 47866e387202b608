"""Measurements of what users are promised: speed, memory, sound in step, lips in step."""
