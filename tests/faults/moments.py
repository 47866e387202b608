"""Moments at which a fault is injected, seen from outside."""

import time


def chunk_saved(number):
    """When the state of that many chunks is on the disk."""
    return lambda scene, _run: scene.num_saved >= number


def chunk_begun(number):
    """When a chunk is begun."""
    return lambda scene, _run: scene.num_begun >= number


def bytes_written(number):
    """When the partial file has grown to a number of bytes."""
    return lambda scene, _run: scene.num_bytes >= number


def seconds(number):
    """A time after the start of the process."""
    return lambda _scene, run: time.monotonic() - run.start_s >= number
