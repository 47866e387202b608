"""Links between the GPUs that render together, as far as they make an exchange slow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations


def slow_links(gpus: Sequence[int]) -> str:
    """Return over what GPUs exchange where that is not NVLink; empty where it is, or is not known.

    Args:
        gpus: Their numbers. None of them is used for that.

    Returns:
        For example ``through main memory (0-2, 1-2)``, or ``over PCIe (PHB), not NVLink (0-1)``.
    """
    import torch

    pairs, known = list(combinations(gpus, 2)), known_links()
    ways: dict[str, list[str]] = {}
    for one, other in pairs:
        kind = known.get((one, other), "")
        if not torch.cuda.can_device_access_peer(one, other):
            ways.setdefault("through main memory", []).append(f"{one}-{other}")
        elif kind.startswith("PCIe"):
            ways.setdefault(f"over {kind}, not NVLink", []).append(f"{one}-{other}")
    return " and ".join(
        f"{way} ({'all pairs' if len(where) == len(pairs) > 1 else ', '.join(where)})"
        for way, where in ways.items()
    )


def known_links() -> dict[tuple[int, int], str]:
    """Return how GPUs are joined; nothing in the published pack, which starts no programs."""
    try:
        from .topology import link_kinds
    except ImportError:
        return {}
    return link_kinds()


def little_gain(gpus: Sequence[int]) -> str:
    """Return what to expect of GPUs with slow links, and what else they can do."""
    numbers = ",".join(map(str, gpus))
    return (
        f"expect little gain; a batch renders a video on each of them (batch --devices {numbers})"
    )
