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


def predicted_data(noisy: Tensor, velocity: Tensor, level: Tensor) -> Tensor:
    """Return the clean latents that a velocity stands for: ``x - s * v``.

    Args:
        noisy: ``(B, 16, T, h, w)``.
        velocity: Same shape.
        level: s of each sample, ``(B,)``.
    """
    return noisy - level.view(-1, 1, 1, 1, 1) * velocity


def guided(
    nothing: Tensor, no_text: Tensor, full: Tensor, text_scale: float, audio_scale: float
) -> Tensor:
    """Combine three predictions of a teacher, of any one shape.

    Args:
        nothing: With neither audio nor prompt.
        no_text: With audio, without prompt.
        full: With both.
        text_scale: Weight of what the prompt adds; 1 is as predicted.
        audio_scale: Weight of what the audio adds.

    Source: arXiv 2512.23379, stage 2 (text 3, audio 4).
    """
    return nothing + text_scale * (full - no_text) + audio_scale * (no_text - nothing)


def anchor_loss(data: Tensor, still: Tensor, num_motion: int, mask: Tensor) -> Tensor:
    """Return the distance of the new latents' mean over time from a still image's latents.

    Args:
        data: Clean latents, ``(B, 16, T, h, w)``.
        still: Latents of a clip that is the portrait throughout, same shape.
        num_motion: Leading motion latents m, which are left out of both: the first latents of a
            clip differ from later ones even if nothing moves.
        mask: Weights of the cells, ``(h, w)`` or ``(B, h, w)``.

    Returns:
        Scalar, the mean square over channels and the weighted cells of all sessions together;
        0 if no cell weighs anything.
    """
    error = _lasting_error(data, still, num_motion).square().mean(dim=1)
    mask = mask.expand_as(error)
    return (error * mask).sum() / mask.sum().clamp(min=1e-6)


def mean_anchor_loss(data: Tensor, still: Tensor, num_motion: int, mask: Tensor) -> Tensor:
    """Return the distance of the mean over time and weighted cells from a still image's latents.

    Movement within the cells changes it less than a change of colour does.

    Args:
        data: As in :func:`anchor_loss`.
        still: Likewise.
        num_motion: Likewise.
        mask: Weights of the cells, ``(B, h, w)``, not all 0.

    Returns:
        Scalar, the mean square over channels; sessions count alike.
    """
    error = (_lasting_error(data, still, num_motion) * mask[:, None]).sum(dim=(2, 3))
    return (error / mask.sum(dim=(1, 2))[:, None]).square().mean()


def _lasting_error(data: Tensor, still: Tensor, num_motion: int) -> Tensor:
    return (data - still)[:, :, num_motion:].mean(dim=2)


def matching_loss(
    data: Tensor, real: Tensor, fake: Tensor, num_motion: int, align_motion: bool = True
) -> Tensor:
    """Return a loss whose gradient moves ``data`` from the critic's to the teacher's prediction.

    New latents follow the difference of the two predictions; motion latents, if aligned, go
    straight to the teacher's. Each direction is divided, sample by sample, by the mean distance
    between data and teacher, so that no noise level counts more than another. The direction is
    a constant: ``0.5 * mean((x - stop(x - d))^2)``, whose gradient is ``d`` over the number of
    values.

    Args:
        data: The student's clean latents, ``(B, 16, T, h, w)``; the only input that gets a
            gradient.
        real: The teacher's prediction from noised ``data``, same shape.
        fake: The critic's, same shape.
        num_motion: Leading motion latents m, which come from the chunk before.
        align_motion: Whether to add the motion latents' part, weighted by ``m / (T - m)``.

    Returns:
        Scalar.

    Source: arXiv 2512.23379, stage 2; the first part as in arXiv 2405.14867 (DMD2).
    """
    motion, fresh = slice(0, num_motion), slice(num_motion, None)
    parts = [(fresh, fake - real, 1.0)]
    if align_motion:
        share = num_motion / (data.shape[2] - num_motion)
        parts.append((motion, data - real, share))
    total = data.new_zeros(())
    for latents, direction, weight in parts:
        distance = (data - real).detach()[:, :, latents].abs()
        scale = distance.mean(dim=(1, 2, 3, 4), keepdim=True).clamp(min=1e-6)
        step = direction.detach()[:, :, latents] / scale
        part = data[:, :, latents]
        total = total + weight * 0.5 * (part - (part - step).detach()).square().mean()
    return total
