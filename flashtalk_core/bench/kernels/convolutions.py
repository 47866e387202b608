"""Convolutions of the autoencoder one by one, and its stages launched in other ways.

Axis legend: B batch, C channels, F frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ...acceleration.recording import capture
from ...excerpt import first_line
from ...geometry import num_latent_frames
from ...models.vae.model import VideoVAE
from ..random_networks import ChunkInputs, Networks
from ..stage_clock import measure_one

_WARMUPS = 2
Call = Callable[[], Tensor]


@dataclass(frozen=True)
class ConvolutionRow:
    """Convolutions of one shape in one stage."""

    stage: str
    shape: tuple[int, ...]
    """Of the input, ``(B, C, F, H, W)`` or ``(B, C, H, W)``."""
    outputs: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    channels_last: bool
    count: int
    total_ms: float
    """Of all of them."""
    tuned_ms: float
    """The same where cuDNN chose its kernels by timing (``benchmark``)."""
    tflop_per_s: float


@dataclass(frozen=True)
class LaunchRow:
    """A stage launched in one way."""

    stage: str
    way: str
    total_ms: float | None
    equal: bool
    """Whether it computed the same to the bit as eagerly."""
    failure: str = ""


@torch.no_grad()
def measure_convolutions(
    networks: Networks, inputs: ChunkInputs, num_latents: int, repeats: int
) -> Iterator[ConvolutionRow]:
    """Measure each convolution of both stages by itself, those of one shape once.

    Args:
        networks: In their execution mode.
        inputs: Of a chunk.
        num_latents: Latent frames that are decoded at once.
        repeats: Measured calls of each.
    """
    for stage, run in _stages(networks, inputs, num_latents).items():
        with _Convolutions() as seen:
            run()
        for key, count in seen.counts.items():
            yield _measure(stage, key, count, seen.layouts[key], repeats, inputs)


@torch.no_grad()
def measure_ways(
    networks: Networks, inputs: ChunkInputs, num_latents: int, repeats: int
) -> Iterator[LaunchRow]:
    """Measure both stages eagerly, with cuDNN's choice by timing, and as a CUDA graph."""
    device = inputs.motion_frames.device
    for stage, run in _stages(networks, inputs, num_latents).items():
        expected = run()
        for way, prepare in _WAYS.items():
            try:
                with prepare(run, device) as call:
                    found = measure_one(call, device, _WARMUPS, repeats)
                    yield LaunchRow(stage, way, found.median_ms, torch.equal(call(), expected))
            except Exception as error:  # whatever cuDNN or CUDA raise
                reason = f"{type(error).__name__}: {first_line(error)}"
                yield LaunchRow(stage, way, None, False, reason)


def _stages(networks: Networks, inputs: ChunkInputs, num_latents: int) -> dict[str, Call]:
    vae, like = networks.vae, inputs.reference.motion_latent
    num_frames = num_latent_frames(networks.config.chunk.num_frames)
    generator = torch.Generator(like.device).manual_seed(0)
    shape = (1, like.shape[1], num_frames, *like.shape[-2:])
    latent = torch.randn(shape, generator=generator, device=like.device).to(like)
    return {
        "motion encode": partial(vae.encode, inputs.motion_frames, num_latents),
        "decode": partial(_decode, vae, latent, num_latents),
    }


def _decode(vae: VideoVAE, latent: Tensor, num_latents: int) -> Tensor:
    return torch.cat(list(vae.decode_groups(latent, num_latents)), dim=2)


@contextmanager
def _eager(run: Call, _device: torch.device) -> Iterator[Call]:
    yield run


@contextmanager
def _tuned(run: Call, _device: torch.device) -> Iterator[Call]:
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield run
    finally:
        torch.backends.cudnn.benchmark = before


@contextmanager
def _graph(run: Call, device: torch.device) -> Iterator[Call]:
    yield capture(run, device)


_WAYS = {"eager": _eager, "cudnn.benchmark": _tuned, "CUDA graph": _graph}

_Key = tuple[Any, ...]
"""Shapes of input and kernel, then stride, padding and groups."""


class _Convolutions(TorchDispatchMode):
    """Counts the convolutions that run while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[_Key, int] = {}
        self.layouts: dict[_Key, bool] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten.convolution.default:
            x, weight, _, stride, padding, dilation, _, _, groups = args
            assert set(dilation) == {1}
            sizes = map(tuple, (x.shape, weight.shape, stride, padding))
            key = (*sizes, groups, x.dtype)
            self.counts[key] = self.counts.get(key, 0) + 1
            self.layouts[key] = x.is_contiguous(memory_format=_last(x.ndim))
        return func(*args, **(kwargs or {}))


def _last(ndim: int) -> torch.memory_format:
    return torch.channels_last_3d if ndim == 5 else torch.channels_last


def _measure(
    stage: str, key: _Key, count: int, is_last: bool, repeats: int, inputs: ChunkInputs
) -> ConvolutionRow:
    shape, kernel, stride, padding, groups, dtype = key
    device = inputs.motion_frames.device
    layout = _last(len(shape)) if is_last else torch.contiguous_format
    generator = torch.Generator(device).manual_seed(0)
    draw = partial(torch.randn, generator=generator, device=device)
    x, weight = (draw(each).to(dtype).contiguous(memory_format=layout) for each in (shape, kernel))
    options = (None, stride, padding, [1] * len(stride), False, [0] * len(stride), groups)
    run = partial(torch.ops.aten.convolution, x, weight, *options)
    plain = measure_one(run, device, _WARMUPS, repeats).median_ms
    with _tuned(run, device) as call:
        tuned = measure_one(call, device, _WARMUPS, repeats).median_ms
    return ConvolutionRow(
        stage=stage,
        shape=shape,
        outputs=kernel[0],
        kernel=kernel[2:],
        stride=stride,
        channels_last=is_last,
        count=count,
        total_ms=count * plain,
        tuned_ms=count * tuned,
        tflop_per_s=2 * run().numel() * weight[0].numel() / plain / 1e9,
    )
