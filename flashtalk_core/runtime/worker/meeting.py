"""How the ranks of a fleet meet: on this host only, at a socket that was opened before them."""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed as dist

from ...parallel.collectives import Collectives
from ...parallel.torch_collectives import TorchCollectives
from ..launcher import RankSettings
from ..shared.pages import Phase, RankRow


def meet(
    settings: RankSettings, device: torch.device, row: RankRow
) -> tuple[Collectives, Collectives]:
    """Return the exchange between processes in host memory, and that between their devices.

    Args:
        settings: Of this rank.
        device: Where it computes.
        row: Notes how far it is, so that the rank that the others wait for is known.
    """
    row.enter(Phase.MEETING)
    start, limit = (timedelta(seconds=each) for each in (settings.start_s, settings.exchange_s))
    world = len(settings.devices)
    store = dist.TCPStore(
        "127.0.0.1",
        settings.port,
        world,
        is_master=settings.listener is not None,
        timeout=start,
        wait_for_workers=False,
        master_listen_fd=settings.listener,
    )
    row.mark()
    dist.init_process_group(
        "gloo", store=store, rank=settings.rank, world_size=world, timeout=limit
    )
    row.mark()
    dist.monitored_barrier(timeout=start)  # names a rank that is missing
    row.mark()
    control = TorchCollectives(note=row.exchange, timeout=limit)
    if device.type != "cuda" or len(set(settings.devices)) < world:
        return control, control  # NCCL takes one rank a GPU
    group = dist.new_group(backend="nccl", timeout=limit)
    ranks = TorchCollectives(group, row.exchange, limit)
    ranks.sum(torch.ones(1, device=device))  # connects them now, not in the first chunk
    torch.cuda.synchronize(device)
    return control, ranks
