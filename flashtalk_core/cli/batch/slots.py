"""Where rows of a batch are rendered: here, or by a process for each of several devices."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, require

if TYPE_CHECKING:
    from ...engine.spec import RenderSpec

_POOL = f"{__package__.partition('.')[0]}.batch_workers"


@dataclass(frozen=True)
class Slot:
    """One row at a time."""

    device: str | None = None
    """Where it is rendered; ``None`` is what the row says."""
    cluster: str = ""
    """Ray cluster that renders it; empty: this host."""

    def apply(self, spec: RenderSpec) -> RenderSpec:
        """Return a spec as it is rendered here."""
        place = replace(spec.placement, cluster=self.cluster)
        if self.device is not None:
            place = replace(place, device=self.device)
        return replace(spec, placement=place)


def find_slots(args: argparse.Namespace) -> list[Slot]:
    """Return where rows are rendered, at least one.

    Raises:
        InvalidInputError: If options contradict each other, or a device is not there.
    """
    _check_step_limit(args.step_limit)
    if not args.ray and args.workers is not None:
        raise InvalidInputError(
            f"--workers {args.workers}: rows at once in a Ray cluster; add --ray, or name GPUs "
            "with --devices"
        )
    if args.ray:
        require(
            not args.devices,
            "--ray and --devices: a batch renders in a cluster or on GPUs of this host; leave one "
            "out",
        )
        number = 1 if args.workers is None else args.workers
        require(number >= 1, f"--workers {number}: use 1 or more")
        return [Slot(cluster=args.ray)] * number
    if not args.devices:
        return [Slot()]
    require(
        args.device == "auto",
        f"--device {args.device} and --devices: use one of them",
    )
    _check_names(args.devices)
    return [Slot(device) for device in args.devices]


def _check_step_limit(limit_s: float | None) -> None:
    if limit_s is None:
        return
    require(limit_s > 0, f"--step-limit {limit_s:g}: use more than 0 seconds", subject="step_limit")
    require(
        find_spec(_POOL) is not None,
        f"--step-limit {limit_s:g}: this copy is the published pack, which has no process to end; "
        "take the project's repository, or leave it out",
        subject="step_limit",
    )


def _check_names(devices: Sequence[str]) -> None:
    """Check that devices are there; no memory of a GPU is taken for that."""
    import torch

    from ...placement.devices import choose_device

    require(
        len(devices) == 1 or find_spec(_POOL) is not None,
        f"devices {', '.join(devices)}: this copy is the published pack, which renders on one "
        "device; take the project's repository",
        subject="devices",
    )
    twice = {each for each in devices if devices.count(each) > 1 and each != "cpu"}
    require(
        not twice,
        f"devices {', '.join(devices)}: {', '.join(sorted(twice))} is there twice; name each once",
        subject="devices",
    )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = {f"cuda:{index}" for index in range(count)}
    for device in devices:
        if device not in known:
            choose_device(device)  # says why not
