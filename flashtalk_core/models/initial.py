"""First values of parameters that are drawn at random."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def drawn(*shape: int, divisor: float = 1.0) -> nn.Parameter:
    """Return a parameter of normally distributed values, of standard deviation ``1 / divisor``.

    Nothing is drawn on the meta device, on which networks are built before their weights are
    read: PyTorch imports its compiler to pretend to draw, which takes seconds.

    Args:
        shape: Of the parameter, float32 on the default device.
        divisor: What standard normal values are divided by.
    """
    values = torch.empty(shape)
    if not values.is_meta:
        values.normal_().div_(divisor)
    return nn.Parameter(values)


def embedding(count: int, dim: int) -> nn.Embedding:
    """Return ``count`` rows of ``dim`` normally distributed values, see :func:`drawn`."""
    rows: Tensor = drawn(count, dim).data
    return nn.Embedding(count, dim, _weight=rows)
