"""Small file systems of their own, for disks that are full, read-only or without names left."""

import os
import shutil
import subprocess
from contextlib import contextmanager

BALLAST = "ballast"


def can_mount():
    return os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def mounted(folder, options):
    """Mount a file system in memory; ``size=200k``, for example."""
    folder.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def fill(folder, but_bytes=0):
    """Take all room of the disk but some."""
    free = shutil.disk_usage(folder).free - but_bytes
    with (folder / BALLAST).open("ab") as file:
        while free > 0:
            free -= file.write(b"x" * min(free, 1 << 20))


def free(folder):
    """Give the room back."""
    (folder / BALLAST).unlink(missing_ok=True)
