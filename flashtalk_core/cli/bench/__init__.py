"""The command bench: one file for each thing that it measures."""
