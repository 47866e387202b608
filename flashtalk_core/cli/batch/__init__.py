"""``batch``: many videos of one list."""
