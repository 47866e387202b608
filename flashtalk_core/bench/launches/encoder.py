"""The audio encoder on the window of a chunk, launched kernel by kernel and as a CUDA graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch

from ...acceleration.apply import set_graph
from ...acceleration.kernel_options import GraphMode
from ..operations import count_operations
from ..random_networks import Networks
from .clock import time_calls

_SMALL_PX = (64, 64)
"""Any size: the encoder does not depend on it."""


@dataclass(frozen=True)
class EncoderRow:
    """The encoder in one execution mode."""

    mode: str
    launch_ms: float
    encode_ms: float
    tflop_per_s: float
    equal: bool
    """Whether it computed the same as the eager one to the bit."""


@torch.no_grad()
def measure_encoder(networks: Networks, repeats: int) -> Iterator[EncoderRow]:
    """Measure the encoder in both modes; for the arguments see :func:`.steps.measure_steps`."""
    encoder, chunk = networks.audio_encoder, networks.config.chunk
    device = networks.dit.patch_embedding.weight.device
    counted = count_operations(networks.config, _SMALL_PX, 1, is_fused=False)["audio encoder"]
    num_samples = chunk.audio_context_frames * chunk.samples_per_frame
    generator = torch.Generator(device).manual_seed(0)
    samples = 0.1 * torch.randn(1, num_samples, device=device, generator=generator)
    encode = partial(encoder, samples, chunk.audio_context_frames)
    set_graph(encoder, "off", device)
    expected = encode()
    modes: tuple[GraphMode, ...] = ("off", "on")
    for mode in modes:
        set_graph(encoder, mode, device)
        encode()
        times = time_calls(encode, device, repeats)
        yield EncoderRow(
            mode="graph" if mode == "on" else "eager",
            launch_ms=times.launch_ms,
            encode_ms=times.total_ms,
            tflop_per_s=sum(counted.values()) / 1e9 / times.total_ms,
            equal=torch.equal(encode(), expected),
        )
    set_graph(encoder, "off", device)
