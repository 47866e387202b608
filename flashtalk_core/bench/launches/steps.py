"""One denoising step at several sizes, launched kernel by kernel and as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...acceleration.apply import set_graph
from ...sampling.schedule import model_timesteps
from ..one_chunk import make_avatar, measured_span
from ..random_networks import Networks, random_inputs
from .clock import time_calls, time_once

_STEPS = 4
_MIB = 2**20

Step = Callable[[], Tensor]


@dataclass(frozen=True)
class StepRow:
    """A step at one size."""

    mode: str
    """Execution mode of the blocks."""
    size_px: tuple[int, int]
    """Height and width."""
    tokens: int
    launch_ms: float
    step_ms: float
    graph_launch_ms: float
    graph_step_ms: float
    record_ms: float
    """The step that is recorded, which is the second of a session."""
    graph_mib: float
    """Device memory that the recording keeps."""
    equal: bool
    """Whether both computed the same to the bit."""


@torch.no_grad()
def measure_steps(
    networks: Networks, mode: str, sizes_px: Sequence[tuple[int, int]], repeats: int
) -> Iterator[StepRow]:
    """Measure a step at each size.

    Args:
        networks: In their execution mode, with attention and formats set.
        mode: Its name.
        sizes_px: Heights and widths.
        repeats: Measured steps of each kind.
    """
    for size_px in sizes_px:
        yield _measure(networks, mode, size_px, repeats)


def _measure(networks: Networks, mode: str, size_px: tuple[int, int], repeats: int) -> StepRow:
    dit = networks.dit
    device = dit.patch_embedding.weight.device
    set_graph(dit, "off", device)
    step, num_tokens = _make_step(networks, size_px)
    eager = time_calls(step, device, repeats)
    expected = step()
    set_graph(dit, "on", device)
    before = _reserved(device)
    step()
    record_ms = time_once(step, device)
    graph = time_calls(step, device, repeats)
    kept = _reserved(device) - before
    is_equal = torch.equal(step(), expected)
    set_graph(dit, "off", device)
    return StepRow(
        mode=mode,
        size_px=size_px,
        tokens=num_tokens,
        launch_ms=eager.launch_ms,
        step_ms=eager.total_ms,
        graph_launch_ms=graph.launch_ms,
        graph_step_ms=graph.total_ms,
        record_ms=record_ms,
        graph_mib=kept / _MIB,
        equal=is_equal,
    )


def _make_step(networks: Networks, size_px: tuple[int, int]) -> tuple[Step, int]:
    """Return the first step of a chunk, and its tokens."""
    dit = networks.dit
    inputs = random_inputs(networks, size_px, _STEPS)
    windows = make_avatar(networks, inputs).encode_audio(measured_span(networks))
    session, audio = inputs.reference.session, dit.project_audio(windows)
    latent = session.condition[:, -networks.config.vae.z_dim :].float()
    first = model_timesteps(_STEPS, networks.config.sampling.shift)[0]
    return partial(dit, latent, torch.tensor([first]), session, audio), len(session.rotation)


def _reserved(device: torch.device) -> int:
    """Return the device memory in use or set aside, with nothing idle in it."""
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(device)
