"""What this machine has to render on several devices together; nothing of it is started."""

from __future__ import annotations

import sys

from ...placement.devices import nccl_version
from ...placement.links import known_links, little_gain, slow_links
from .findings import Finding, Package, look_for

PACKAGES = (
    Package("xfuser", "xfuser", "another exchange between GPUs; not needed"),
    Package("ray", "ray", "jobs on several machines; not needed on one"),
)


def list_several() -> list[Finding]:
    """Return the GPUs, the links between them, the exchange, NCCL, and optional packages."""
    nccl = _nccl()
    return [_gpus(), _links(), _exchange(nccl.found), nccl, *map(look_for, PACKAGES)]


def _gpus() -> Finding:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if sys.platform != "linux":
        return Finding("GPUs", False, "several work together on Linux only, or in WSL2")
    numbers = ",".join(map(str, range(count)))
    detail = f"{count}, --devices {numbers}" if count > 1 else f"{count}; two are needed"
    return Finding("GPUs", count > 1, detail)


def _links() -> Finding:
    """Return how the GPUs reach each other."""
    import torch

    gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if len(gpus) < 2:
        return Finding("links", False, "no two GPUs")
    slow = slow_links(gpus)
    if slow:
        return Finding("links", False, f"{slow}: {little_gain(gpus)}")
    kinds = dict.fromkeys(known_links().values())
    over = f", over {' and '.join(kinds)}" if kinds else ""
    return Finding("links", True, f"each GPU reads the memory of each other one{over}")


def _exchange(has_nccl: bool) -> Finding:
    """Return over what ranks exchange by the default exchange."""
    if has_nccl:
        return Finding("exchange", True, "collectives, over NCCL between GPUs, gloo between CPUs")
    return Finding("exchange", False, "collectives, over gloo between CPUs only")


def _nccl() -> Finding:
    version = nccl_version()
    return Finding("NCCL", bool(version), version or "this PyTorch is built without")
