"""Moments at which a fault is injected, seen from outside."""


def chunk_saved(number):
    """When the state of that many chunks is on the disk."""
    return lambda scene, _run: scene.num_saved >= number


def chunk_begun(number):
    """When a chunk is begun."""
    return lambda scene, _run: scene.num_begun >= number


def bytes_written(number):
    """When the partial file has grown to a number of bytes."""
    return lambda scene, _run: scene.num_bytes >= number


def share_of_start(share):
    """A share of the processor time from the start of the process to the first chunk."""
    return lambda scene, run: run.processor_s >= share * scene.pace.start_s
