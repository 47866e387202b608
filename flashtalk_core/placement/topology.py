"""How the GPUs of this machine are joined, as NVIDIA's program says."""

from __future__ import annotations

import re
import subprocess
from functools import cache

import torch


@cache
def link_kinds() -> dict[tuple[int, int], str]:
    """Return how pairs of GPUs are joined, ``18 NVLinks`` or ``PCIe (PHB)``, by their numbers here.

    Nothing where NVIDIA's program cannot be asked. No GPU is used for that.
    """
    found = parse_links(_ask("topo", "-m"))
    uuids = _ask("--query-gpu=uuid", "--format=csv,noheader").split()
    count = torch.cuda.device_count() if found else 0
    # That program counts all GPUs by their places on the bus, whatever this process sees.
    rows = [_row_of(number, uuids) for number in range(count)]
    return {
        (one, other): found[pair]
        for one in range(count)
        for other in range(count)
        if (pair := (rows[one], rows[other])) in found
    }


def parse_links(topology: str) -> dict[tuple[int, int], str]:
    """Return how pairs of GPUs are joined, by their numbers in what ``nvidia-smi topo -m`` prints.

    Args:
        topology: A row and a column for each GPU.
    """
    rows = [line.split() for line in topology.splitlines() if re.match(r"GPU\d+\s", line)]
    return {
        (number, other): _kind(row[other + 1])
        for number, row in enumerate(rows)
        for other in range(len(rows))
        if other != number
    }


def _kind(name: str) -> str:
    nvlinks = re.fullmatch(r"NV(\d+)", name)
    return f"{nvlinks[1]} NVLinks" if nvlinks else f"PCIe ({name})"


def _row_of(number: int, uuids: list[str]) -> int:
    """Return the row of a GPU; its own number where it has no known UUID."""
    uuid = f"GPU-{getattr(torch.cuda.get_device_properties(number), 'uuid', '')}"
    return uuids.index(uuid) if uuid in uuids else number


def _ask(*options: str) -> str:
    try:
        return subprocess.run(
            ["nvidia-smi", *options], capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
