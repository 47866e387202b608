"""A FlashTalk model made of what ComfyUI's own loaders have read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import torch
from torch import nn

from ...flashtalk_core.engine.encoding_cache import EncodingMemo
from ...flashtalk_core.engine.resolve import OpenedModel, find_backend
from ...flashtalk_core.engine.spec import ModelSpec, PlacementSpec
from ...flashtalk_core.weights.discovery.infinite_talk import is_infinite_talk
from ...flashtalk_core.weights.load import check_sources
from ...flashtalk_core.weights.model_sources import ModelSources, Settings
from ..graph.descriptions import ModelDescription
from ..host.networks import ManagedNetworks
from ..host.render_host import ComfyHost
from .checks import check_encoder, check_fit, check_model, check_patch, check_vae
from .identity import ModelIdentity, model_identity, weights_identity
from .tensors import NativeTensors, run_infos, stored_infos

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...flashtalk_core.config.networks import DiTConfig
    from ...flashtalk_core.engine.chunk import ChunkDenoiser
    from ...flashtalk_core.engine.events import LoadEvents

_NAME = "native"
"""What stands for the model's files in a spec."""


@dataclass(frozen=True)
class NativeTransformer:
    """A MODEL and its audio layers; :class:`HostedTransformer` of the graph."""

    model: ModelPatcher
    audio: ModelPatcher

    def denoiser(self, config: DiTConfig, events: LoadEvents) -> ChunkDenoiser:
        """Return what denoises chunks with them."""
        from .denoiser import native_denoiser

        return native_denoiser(self.model, self.audio, config, events)


def describe_native(model: Any, patch: Any, vae: Any, encoder: Any) -> ModelDescription:
    """Check what was connected, and describe it as a model; nothing is loaded.

    Args:
        model: MODEL.
        patch: MODEL_PATCH, its audio layers.
        vae: VAE.
        encoder: AUDIO_ENCODER.

    Raises:
        FlashTalkError: If one of them is of another kind or size.
    """
    network, layers = check_model(model), check_patch(patch)
    check_fit(network, layers)
    decoder, ears = check_vae(vae), check_encoder(encoder, layers)
    identity = model_identity(model)
    audio_name = _name_with_file("MODEL_PATCH", patch)
    audio = NativeTensors(audio_name, audio_name, weights_identity(layers), run_infos(layers))
    sources = ModelSources(
        dit=(_transformer(model, network, identity), audio),
        vae=(_stored("VAE", decoder),),
        text=(),
        clip=(),
        audio=(_stored("AUDIO_ENCODER", ears),),
        settings=Settings("connected models", _settings(model, network, decoder, ears)),
        unidentified=identity.unknown,
        # ComfyUI's own loader of MODEL_PATCH, for one, tells no file.
        is_training_known=is_infinite_talk(_file_of(model)) or bool(_file_of(patch)),
        has_host_loras=bool(model.patches),
    )
    placement = PlacementSpec(device=_name_of(model.load_device))
    host = ComfyHost()
    backend = find_backend(placement, host)
    checkpoint = check_sources(sources)
    opened = OpenedModel(
        checkpoint,
        model.load_device,
        host.find_dtype("auto", model.load_device),
        backend.kernel_options,
        is_hosted=True,
    )
    return ModelDescription(
        ModelSpec(name=_NAME),
        placement,
        opened,
        ManagedNetworks(checkpoint),
        EncodingMemo(),
        hosted=NativeTransformer(model, patch),
    )


def _transformer(model: ModelPatcher, network: nn.Module, identity: ModelIdentity) -> NativeTensors:
    name = _name_with_file("MODEL", model)
    return NativeTensors(name, name, identity.text, run_infos(network))


def _stored(name: str, network: nn.Module) -> NativeTensors:
    return NativeTensors(name, name, weights_identity(network), stored_infos(network), network)


def _name_with_file(kind: str, patcher: ModelPatcher) -> str:
    """Return the kind of a patcher with its file, by whose name InfiniteTalk is known."""
    file = _file_of(patcher)
    return f"{kind} ({file})" if file else kind


def _file_of(patcher: ModelPatcher) -> str:
    """Return the name of the file of a patcher, empty if its loader does not tell."""
    loaded = getattr(patcher, "cached_patcher_init", None)
    path = loaded[1][0] if loaded and loaded[1] else None
    return Path(path).name if isinstance(path, str | Path) else ""


def _settings(model: ModelPatcher, network: Any, decoder: Any, ears: Any) -> dict[str, Any]:
    """Return what the shapes of tensors do not tell."""
    return {
        "name": f"ComfyUI's {_file_of(model) or 'MODEL'}"[:200],
        "dit": {"num_heads": network.num_heads, "text_len": network.text_len},
        "vae": {
            "num_res_blocks": decoder.num_res_blocks,
            # What the transformer was trained on: ComfyUI has it with the model.
            "latent_mean": model.model.latent_format.latents_mean.flatten().tolist(),
            "latent_std": model.model.latent_format.latents_std.flatten().tolist(),
        },
        "audio": {
            "num_attention_heads": ears.encoder.layers[0].attention.num_heads,
            "do_normalize": ears.do_normalize,
        },
    }


def _name_of(device: torch.device) -> str:
    """Return the pack's name of a device that ComfyUI chose."""
    if device == management.get_torch_device():
        return "auto"
    if device.type == "cpu":
        return "cpu"
    return f"gpu:{device.index or 0}"
