"""One rank of a fleet, in a process of its own: ``python -m flashtalk_core.runtime.worker``."""
