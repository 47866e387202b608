"""Sound that is pushed while it is played."""
