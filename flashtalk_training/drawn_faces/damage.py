"""Damage to frames, as drift or a bad start leaves it: casts, blur, noise, shifts.

Axis legend: B clips, F frames, H W pixels. Frames are ``(B, 3, F, H, W)`` in ``[-1, 1]``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

DAMAGES = ("cast", "blur", "noise", "shift")
"""Kinds of damage that a session can be started with."""
_KERNEL = (1.0, 4.0, 6.0, 4.0, 1.0)
"""Binomial blur, a deviation of one pixel a pass."""
_EVERY_SHARE = 0.5
"""Share of clips that each kind of :func:`damage_at_random` touches."""
_CAST_GAIN, _CAST_OFFSET, _NOISE, _SHIFT = 0.12, 0.10, 0.10, 0.06
_BLUR_PASSES = 3
_CAST_CELLS, _REGIONAL_CAST = 4, 0.3


def cast_colours(frames: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Scale and shift each channel by ``(B, 3)`` values."""
    gain, offset = (v.view(*v.shape, 1, 1, 1) for v in (gain, offset))
    return (frames * gain + offset).clamp(-1, 1)


def blur(frames: Tensor, passes: int) -> Tensor:
    """Blur by as many passes of a binomial kernel."""
    kernel = frames.new_tensor(_KERNEL) / sum(_KERNEL)
    batch, _, _, height, width = frames.shape
    planes = frames.reshape(-1, 1, height, width)
    for _ in range(passes):
        planes = functional.conv2d(
            functional.pad(planes, (2, 2, 0, 0), mode="replicate"), kernel.view(1, 1, 1, 5)
        )
        planes = functional.conv2d(
            functional.pad(planes, (0, 0, 2, 2), mode="replicate"), kernel.view(1, 1, 5, 1)
        )
    return planes.view(batch, *frames.shape[1:])


def shift(frames: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Move images by ``(B,)`` shares of their size, to the right and down; edges repeat."""
    batch, _, count, height, width = frames.shape
    matrix = torch.eye(2, 3, device=frames.device).repeat(batch, 1, 1)
    matrix[:, 0, 2], matrix[:, 1, 2] = -2 * x, -2 * y
    grid = functional.affine_grid(matrix, [batch, 1, height, width], align_corners=False)
    planes = frames.flatten(1, 2)
    moved = functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    return moved.unflatten(1, (3, count))


def damage_at_random(frames: Tensor) -> Tensor:
    """Apply some kinds of damage to every clip, each by a random amount, from torch's generator."""
    batch, device = frames.shape[0], frames.device

    def touched() -> Tensor:
        return (torch.rand(batch, device=device) < _EVERY_SHARE).float()

    def amounts(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, device=device).clamp(-2, 2)

    some = touched().view(-1, 1)
    # One common part and one for each channel: lighter and darker is what drifts most.
    gain = 1 + some * _CAST_GAIN * (amounts(1) + amounts(3)) / 2
    offset = some * _CAST_OFFSET * (amounts(1) + amounts(3))
    frames = cast_colours(frames, gain, offset)
    mix = (touched() * torch.rand(batch, device=device)).view(-1, 1, 1, 1, 1)
    frames = torch.lerp(frames, blur(frames, _BLUR_PASSES), mix)
    x, y = (_SHIFT / 2 * touched() * amounts() for _ in range(2))
    frames = shift(frames, x, y)
    grain = (touched() * torch.rand(batch, device=device)).view(-1, 1, 1, 1, 1)
    return (frames + _NOISE * grain * torch.randn_like(frames)).clamp(-1, 1)


def drift_at_random(frames: Tensor, share: float) -> Tensor:
    """Damage a share of the clips as long sessions drift, from torch's generator.

    In addition to :func:`damage_at_random`, every corner of the image gets a colour cast of its
    own: the match of colours removes what is the same everywhere, but not what differs between
    background, hair and clothes.
    """
    batch, device = frames.shape[0], frames.device
    cells = torch.randn(batch, 3, _CAST_CELLS, _CAST_CELLS, device=device).clamp(-2, 2)
    size = frames.shape[-2:]
    field = functional.interpolate(cells, size=size, mode="bicubic", align_corners=False)
    strength = _REGIONAL_CAST * torch.rand(batch, 1, 1, 1, device=device)
    drifted = damage_at_random((frames + (strength * field)[:, :, None]).clamp(-1, 1))
    is_damaged = torch.rand(batch, 1, 1, 1, 1, device=device) < share
    return torch.where(is_damaged, drifted, frames)


def damage(frames: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Apply one kind of strong damage, the same for every clip except for the noise's grain.

    Args:
        frames: ``(B, 3, F, H, W)`` in ``[-1, 1]``.
        kind: One of :data:`DAMAGES`.
        generator: CPU generator of the noise.

    Returns:
        Same shape and range.
    """
    batch = frames.shape[0]
    if kind == "cast":
        gain = frames.new_tensor([1.1, 0.95, 0.85]).expand(batch, 3)
        return cast_colours(frames, gain, frames.new_tensor([0.12, 0.0, -0.12]).expand(batch, 3))
    if kind == "blur":
        return blur(frames, _BLUR_PASSES)
    if kind == "shift":
        return shift(frames, frames.new_full((batch,), _SHIFT), frames.new_zeros(batch))
    assert kind == "noise", kind
    grain = torch.randn(frames.shape, generator=generator).to(frames)
    return (frames + _NOISE * grain).clamp(-1, 1)
