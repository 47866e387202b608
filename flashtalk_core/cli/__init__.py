"""The command line; sits on top of everything but the nodes."""
