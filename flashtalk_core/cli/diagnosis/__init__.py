"""``doctor``: what this machine has."""
