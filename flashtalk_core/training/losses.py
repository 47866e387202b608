"""Losses as pure functions of tensors.

Axis legend: B samples, T latent frames, h w latent cells.
"""

from __future__ import annotations

from torch import Tensor


def noisy_latent(clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Mix data and noise: ``(1 - s) * clean + s * noise``.

    Args:
        clean: ``(B, 16, T, h, w)``.
        noise: Unit normal, same shape.
        level: s of each sample, ``(B,)`` in ``[0, 1]``.

    Returns:
        The mixture, same shape.
    """
    s = level.view(-1, 1, 1, 1, 1)
    return (1 - s) * clean + s * noise


def flow_matching_loss(velocity: Tensor, clean: Tensor, noise: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean squared error against ``noise - clean``.

    Args:
        velocity: Prediction, ``(B, 16, T, h, w)``.
        clean: Data, same shape.
        noise: Noise, same shape.
        weights: Broadcastable to ``(B, 1, T, h, w)``; 0 leaves a latent out (motion latents).

    Returns:
        Scalar.

    Source: arXiv 2512.23379, stage 1; flow matching as in arXiv 2210.02747.
    """
    error = (velocity.float() - (noise - clean)).square().mean(dim=1, keepdim=True)
    weights = weights.expand_as(error)
    return (error * weights).sum() / weights.sum()
