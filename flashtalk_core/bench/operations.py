"""How many operations each stage must do, and how fast this device does each kind.

Axis legend: B batch, C channels, F frames, H W pixels, L tokens, N heads, D head dim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..acceleration.apply import set_execution
from ..acceleration.kernel_options import KernelOptions
from ..config.avatar import AvatarConfig
from ..geometry import num_latent_frames
from ..models.attention import Attention, sdpa
from ..models.transformer.model import AvatarDiT
from ..quantization.fp8 import Float8Linear
from .one_chunk import make_avatar, measured_span
from .random_networks import Networks, random_inputs, random_networks
from .stage_clock import measure_one

_KINDS = {
    "linear": ("mm", "addmm"),
    "attention": ("bmm", "baddbmm"),
    "convolution": ("convolution",),
}
_WARMUPS, _REPEATS = 3, 7
Operations = Mapping[str, float]
"""Operations by kind."""


@dataclass(frozen=True)
class Rates:
    """Operations a second by kind, measured at shapes of the model."""

    linear: float
    attention: float
    convolution: float

    def floor_ms(self, operations: Operations) -> float:
        """Return the time of ``operations`` if nothing else took any."""
        return 1000 * sum(count / float(getattr(self, kind)) for kind, count in operations.items())


def count_operations(
    config: AvatarConfig, size_px: tuple[int, int], steps: int, *, is_fused: bool
) -> dict[str, Operations]:
    """Count multiplications and additions of each stage of a chunk, by kind.

    Nothing is computed: the networks run over tensors without values. Projections absorbed
    into the audio are multiplied batch by batch, as attention is, and count as such.

    Args:
        config: Sizes of the networks.
        size_px: Height and width.
        steps: Denoising steps.
        is_fused: Whether blocks are fused; no other mode changes what is multiplied.

    Returns:
        Operations by stage; stages that multiply nothing are left out.
    """
    device = torch.device("meta")
    networks = random_networks(config, sdpa, device, torch.bfloat16)
    options = replace(KernelOptions.eager(), fused_blocks=is_fused)
    set_execution(networks.dit, options, torch.device("cpu"))
    found = {name: _count(run) for name, run in _stages(networks, size_px).items()}
    return {stage: found[stage] for stage in found if stage != "step 1"} | {
        f"step {number}": found["step 1"] for number in range(1, steps + 1)
    }


@torch.no_grad()
def _stages(networks: Networks, size_px: tuple[int, int]) -> dict[str, Callable[[], object]]:
    """Return what each stage runs, by name; a step stands for all of them."""
    inputs = random_inputs(networks, size_px, 1)
    dit, vae = networks.dit, networks.vae
    encode_audio = partial(make_avatar(networks, inputs).encode_audio, measured_span(networks))
    windows, session = encode_audio(), inputs.reference.session
    audio, time = dit.project_audio(windows), torch.tensor([1000.0])  # the first one
    like = inputs.reference.motion_latent
    num_latents = num_latent_frames(networks.config.chunk.num_frames)
    latent = like.new_empty(1, like.shape[1], num_latents, *like.shape[-2:])
    return {
        "audio encoder": encode_audio,
        "audio projection": lambda: dit.project_audio(windows),
        "motion encode": lambda: vae.encode(inputs.motion_frames),
        "step 1": lambda: dit(latent.float(), time, session, audio),
        "decode": lambda: list(vae.decode_groups(latent)),
    }


@torch.no_grad()
def _count(run: Callable[[], object]) -> Operations:
    """Count the operations of ``run`` by kind."""
    with FlopCounterMode(display=False) as counter:
        run()
    counts = {
        str(op).rpartition(".")[2]: count
        for op, count in counter.get_flop_counts().get("Global", {}).items()
    }
    return {kind: float(sum(counts.get(op, 0) for op in ops)) for kind, ops in _KINDS.items()}


def measure_rates(
    dit: AvatarDiT, num_tokens: int, attention: Attention, *, float8: bool = False
) -> Rates:
    """Measure the rates that make the floor.

    Args:
        dit: Transformer whose sizes, device and dtype are taken.
        num_tokens: Tokens of a chunk.
        attention: Kernel.
        float8: Whether linear layers multiply in FP8, the scaling of rows left out.
    """
    weight, config = dit.patch_embedding.weight, dit.config
    tokens = torch.randn(num_tokens, config.dim).to(weight)
    linear = nn.Linear(config.dim, config.ffn_dim, device=weight.device, dtype=weight.dtype)
    multiply = Float8Linear(linear).product_of(tokens) if float8 else partial(linear, tokens)
    shape = (1, num_tokens, config.num_heads, config.head_dim)
    heads = [torch.randn(shape, device=weight.device, dtype=weight.dtype) for _ in range(3)]
    convolve, num_products = _convolution(weight)
    return Rates(
        linear=_rate(multiply, weight.device, 2 * num_tokens * config.dim * config.ffn_dim),
        attention=_rate(partial(attention, *heads), weight.device, 4 * num_tokens**2 * config.dim),
        convolution=_rate(convolve, weight.device, 2 * num_products),
    )


def _convolution(weight: Tensor) -> tuple[Callable[[], object], int]:
    """Return a convolution such as the decoder's, channels last, and its products."""
    frames, channels, side = (8, 192, 192) if weight.device.type == "cuda" else (2, 16, 16)
    last = torch.channels_last_3d
    clip = torch.randn(1, channels, frames, side, side, device=weight.device)
    kernel = torch.randn(channels, channels, 3, 3, 3, device=weight.device)
    clip, kernel = (x.to(weight.dtype).contiguous(memory_format=last) for x in (clip, kernel))
    return partial(F.conv3d, clip, kernel, padding=1), clip.numel() * channels * 27


def _rate(run: Callable[[], object], device: torch.device, operations: float) -> float:
    return 1000 * operations / measure_one(run, device, _WARMUPS, _REPEATS).median_ms
