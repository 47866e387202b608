"""How the GPUs of this machine are joined, as NVIDIA's program says."""

from __future__ import annotations

import re
import subprocess


def read_topology() -> str:
    """Return what ``nvidia-smi`` prints of the links, nothing where it cannot be asked."""
    try:
        return subprocess.run(
            ["nvidia-smi", "topo", "-m"], capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def link_kinds(topology: str, num_gpus: int) -> list[str]:
    """Return how GPUs are joined, each kind once: ``18 NVLinks``, ``PCIe (PHB)``.

    Args:
        topology: Output of ``nvidia-smi topo -m``: a row and a column for each GPU.
        num_gpus: GPUs of the machine.
    """
    kinds: dict[str, None] = {}
    rows = [line.split() for line in topology.splitlines() if re.match(r"GPU\d+\s", line)]
    for number, row in enumerate(rows[:num_gpus]):
        for name in row[number + 2 : num_gpus + 1]:
            nvlinks = re.fullmatch(r"NV(\d+)", name)
            kinds[f"{nvlinks[1]} NVLinks" if nvlinks else f"PCIe ({name})"] = None
    return list(kinds)
