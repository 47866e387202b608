"""What to run where a package is missing."""

from __future__ import annotations

import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
"""Lies next to the core in the pack's folder; not where the core alone was installed."""


BOUNDS = {
    "aiohttp": "",
    "aiortc": ">=1.14,<2",
    "av": ">=14.2.0,<20",
    "numpy": ">=1.26,<2.6",
    "opencv-python-headless": ">=4.11,<5",
    "pillow": ">=10.1",
    "ray": ">=2.60,<3",
    "safetensors": ">=0.4.3",
    "scipy": ">=1.13",
    "sentencepiece": ">=0.2.0",
    "silero-vad": ">=6,<7",
    "soundfile": ">=0.12.1",
    "spandrel": ">=0.4.1,<0.5",
    "torch": ">=2.7,<2.15",
}
"""Versions of what the extras ask for, as in ``pyproject.toml``, which an installed core lacks."""


def install_command(distribution: str) -> str:
    """Return the command that installs a package for the Python that runs this.

    There may be several on a machine, and a portable ComfyUI has one of its own, so it names the
    interpreter and, where the package is one of the pack's own, its list in full; else the
    versions that were tried.
    """
    bounds = BOUNDS.get(distribution, "")
    what = f'"{distribution}{bounds}"' if bounds else distribution  # a shell would redirect
    if distribution in _listed():
        what = f'-r "{REQUIREMENTS}"'
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
