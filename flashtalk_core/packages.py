"""What to run where a package is missing."""

from __future__ import annotations

import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
"""Lies next to the core in the pack's folder; not where the core alone was installed."""


def install_command(distribution: str) -> str:
    """Return the command that installs a package for the Python that runs this.

    There may be several on a machine, and a portable ComfyUI has one of its own, so it names the
    interpreter and, where the package is one of the pack's own, its list in full.
    """
    what = f'-r "{REQUIREMENTS}"' if distribution in _listed() else distribution
    return f'"{sys.executable}" -m pip install {what}'


def missing_package(distribution: str) -> str:
    """Return what to say of a package that is not there."""
    return f"package {distribution} is not installed; run `{install_command(distribution)}`"


def _listed() -> list[str]:
    try:
        lines = REQUIREMENTS.read_text("utf-8").splitlines()
    except OSError:
        return []
    return [line.partition(">")[0].strip() for line in lines]
