"""Which files of the repository a published archive holds."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def listed(*options):
    """Return files of the repository, tracked or about to be, that git lists."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this copy is no git repository: {done.stderr.strip()}")
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


def archived():
    """Return what is left of them without what ``.comfyignore`` names."""
    return listed() - listed("--ignored", "--exclude-from=.comfyignore")
