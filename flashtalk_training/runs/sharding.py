"""Weights of a transformer sharded over all ranks (FSDP2) from outside, without model changes."""

from __future__ import annotations

import torch
from torch import Tensor

from flashtalk_core.models.transformer.block import AvatarBlock
from flashtalk_core.models.transformer.model import AvatarDiT

from .ranks import is_sharded


def shard(dit: AvatarDiT) -> AvatarDiT:
    """Spread weights evenly over all ranks of the process group, in place.

    A block's weights are gathered when it runs and released afterwards, forward and backward;
    those that project prompt, image and audio are units of their own, since they run before
    the block does. Gradients are summed up where the weights are, and divided by the number of
    ranks.

    Args:
        dit: The same on every rank; its optimiser must be made afterwards.

    Returns:
        ``dit``.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    kind = dit.patch_embedding.weight.device.type
    mesh = init_device_mesh(kind, (torch.distributed.get_world_size(),))
    for block in dit.blocks:
        assert isinstance(block, AvatarBlock)
        for attention in (block.cross_attn, block.audio_cross_attn):
            fully_shard(attention, mesh=mesh)
            register_fsdp_forward_method(attention, "project")
        fully_shard(block, mesh=mesh)
    fully_shard(dit, mesh=mesh)
    for method in ("project_session", "project_audio"):
        register_fsdp_forward_method(dit, method)
    return dit


def whole(value: Tensor) -> Tensor:
    """Return a tensor gathered from all ranks, itself if it is not spread; a collective call."""
    if not is_sharded(value):
        return value
    from torch.distributed.tensor import DTensor

    assert isinstance(value, DTensor)
    full: Tensor = value.full_tensor()
    return full


def copy_whole(value: Tensor, full: Tensor) -> None:
    """Overwrite a tensor, spread or not, with a whole one of all ranks; a collective call."""
    if is_sharded(value):
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(value, DTensor)
        full = full.to(value.device, value.dtype)
        full = distribute_tensor(full, value.device_mesh, value.placements)
    value.copy_(full)
