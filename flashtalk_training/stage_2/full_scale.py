"""Stage 2 of the 14B model, as configuration: what it trains with and what it needs."""

from __future__ import annotations

import logging

import torch

from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.transformer.model import AvatarDiT

from ..recipe import DistillRecipe

logger = logging.getLogger(__name__)

FULL_SCALE = DistillRecipe(
    num_steps=200,
    batch=32,
    student_every=5,
    student_rate=2e-6,
    critic_rate=4e-7,
    max_gradient_norm=10.0,
)
"""Global batch over all GPUs. Source: arXiv 2512.23379, stage 2."""

_BYTES_PER_PARAMETER = {
    "student: float32 weights and both moments": 12,
    "critic: float32 weights and both moments": 12,
    "gradients of whichever of the two is trained, float32": 4,
    "teacher: bfloat16": 2,
    "average of the student: bfloat16": 2,
}


def num_parameters(config: DiTConfig) -> int:
    """Count a transformer's parameters; nothing is allocated."""
    with torch.device("meta"):
        dit = AvatarDiT(config)
    return sum(parameter.numel() for parameter in dit.parameters())


def memory_per_gpu_gib(parameters: int, num_gpus: int) -> dict[str, float]:
    """Return what each part takes on a GPU, in GiB, if all is sharded evenly (FSDP2).

    Activations, the gathered weights of a block, and the encoders come on top.
    """
    each = parameters / num_gpus / 2**30
    parts = {name: size * each for name, size in _BYTES_PER_PARAMETER.items()}
    text = "; ".join(f"{name}: {size:.1f}" for name, size in parts.items())
    logger.info("%d GPUs: %.1f GiB each (%s)", num_gpus, sum(parts.values()), text)
    return parts
