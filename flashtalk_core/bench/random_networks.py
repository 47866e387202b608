"""Networks of any size with random weights, made where they run, for measures of speed.

Axis legend: B batch, F pixel frames, T latent frames, H W pixels, S samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..config.avatar import AvatarConfig
from ..engine.reference import Reference, prepare_reference
from ..models.attention import Attention
from ..models.encoders.audio import AudioEncoder
from ..models.transformer.model import AvatarDiT
from ..models.vae.model import VideoVAE
from ..sampling.schedule import model_timesteps
from ..weights.plan import LayerHook

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class Networks:
    """The networks that work in every chunk."""

    config: AvatarConfig
    dit: AvatarDiT
    vae: VideoVAE
    audio_encoder: AudioEncoder


@dataclass(frozen=True)
class ChunkInputs:
    """What a chunk in the middle of a session starts from."""

    reference: Reference
    samples: NDArray[np.float32]
    """Audio around the chunk, ``(S,)``."""
    motion_frames: Tensor
    """Last frames of the chunk before, ``(1, 3, M, H, W)`` in ``[-1, 1]``."""
    size_px: tuple[int, int]
    steps: int


def random_networks(
    config: AvatarConfig, attention: Attention, device: torch.device, dtype: torch.dtype
) -> Networks:
    """Build networks with weights drawn from N(0, 1 / fan-in).

    Args:
        config: Their sizes.
        attention: Kernel of the transformer.
        device: Where every tensor is made; ``meta`` makes none.
        dtype: Of the weights.
    """
    return Networks(
        config,
        random_network(lambda: AvatarDiT(config.dit, attention), device, dtype),
        random_network(lambda: VideoVAE(config.vae), device, dtype),
        random_network(lambda: AudioEncoder(config.audio), device, dtype),
    )


@torch.no_grad()
def random_inputs(networks: Networks, size_px: tuple[int, int], steps: int) -> ChunkInputs:
    """Draw a portrait, a prompt, audio and motion frames for ``networks``."""
    config, weight = networks.config, networks.dit.patch_embedding.weight
    generator = _generator(weight.device)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, device=weight.device, generator=generator)

    dit, chunk = config.dit, config.chunk
    reference = prepare_reference(
        dit=networks.dit,
        vae=networks.vae,
        clip_tokens=draw(1, dit.clip_tokens, dit.clip_dim),
        image=draw(3, *size_px).clamp(-1, 1),
        context=draw(20, dit.text_dim),
        chunk=chunk,
        timesteps=model_timesteps(steps, config.sampling.shift),
    )
    return ChunkInputs(
        reference=reference,
        samples=_on_host(0.1 * draw(chunk.audio_context_frames * chunk.samples_per_frame)),
        motion_frames=draw(1, 3, chunk.num_motion_frames, *size_px).clamp(-1, 1).to(weight),
        size_px=size_px,
        steps=steps,
    )


def _on_host(values: Tensor) -> NDArray[np.float32]:
    """Return float32 values as an array; zeros where there are none."""
    if values.is_meta:
        return np.zeros(values.shape, np.float32)
    array: NDArray[np.float32] = values.cpu().numpy()
    return array


def _generator(device: torch.device) -> torch.Generator | None:
    """Return a seeded generator; numbers without a value need none."""
    return None if device.type == "meta" else torch.Generator(device).manual_seed(0)


def random_network(
    build: Callable[[], ModuleT],
    device: torch.device,
    dtype: torch.dtype,
    hooks: Sequence[LayerHook[ModuleT]] = (),
) -> ModuleT:
    """Build a module and draw its parameters one by one, so that no copy is ever needed.

    Args:
        build: Makes the module; called on the meta device.
        device: Where parameters are drawn.
        dtype: Of the parameters.
        hooks: Called for each layer as soon as it is drawn; the numbers are the same with them.
    """
    with torch.device("meta"):
        module = build()
    generator = _generator(device)
    for owner in module.modules():
        for name, buffer in owner.named_buffers(recurse=False):
            setattr(owner, name, buffer.to(device))
    for hook in hooks:
        hook.on_module_built(module)
    prefix = f"{hooks[0].list_name}." if hooks else ""
    drawn = list(module.named_parameters())
    for index, (name, parameter) in enumerate(drawn):
        value = torch.empty(parameter.shape, device=device, dtype=dtype)
        _draw(name, value, generator)
        owner_name, _, leaf = name.rpartition(".")
        owner = module.get_submodule(owner_name)
        setattr(owner, leaf, nn.Parameter(value, requires_grad=False))
        if hooks and name.startswith(prefix):
            number = name.removeprefix(prefix).partition(".")[0]
            if not any(other.startswith(f"{prefix}{number}.") for other, _ in drawn[index + 1 :]):
                for hook in hooks:
                    hook.on_layer_loaded(int(number))
    return module.eval()


def _draw(name: str, value: Tensor, generator: torch.Generator | None) -> None:
    """Fill ``value``: matrices and kernels by fan-in, scales of norms around 1, biases small."""
    leaf = name.rpartition(".")[2]
    if leaf == "gamma" or (leaf == "weight" and value.ndim == 1):
        value.normal_(1.0, 0.1, generator=generator)
    elif value.ndim == 1:
        value.normal_(0.0, 0.02, generator=generator)
    else:
        fan_in = value[0].numel() if leaf != "modulation" else value.shape[-1]
        value.normal_(0.0, fan_in**-0.5, generator=generator)
