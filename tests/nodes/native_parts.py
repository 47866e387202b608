"""Modules that are named and built as those of ComfyUI, made of the core's networks."""

from types import SimpleNamespace

import torch
from torch import nn


def named(name, **attributes):
    """Return an empty module whose class has a name."""
    module = type(name, (nn.Module,), {})()
    for key, value in attributes.items():
        setattr(module, key, value)
    return module


def native_parts(pack):
    """Return MODEL, MODEL_PATCH, VAE and AUDIO_ENCODER of the tiny model's sizes, by input."""
    config = pack["flashtalk_core.weights.load"].open_avatar("tiny").config
    dit = pack["flashtalk_core.models.transformer.model"].AvatarDiT(config.dit)
    vae = pack["flashtalk_core.models.vae.model"].VideoVAE(config.vae)
    ears = pack["flashtalk_core.models.encoders.audio"].AudioEncoder(config.audio)
    network, layers = named("WanModel"), nn.Module()
    blocks = [(named("Block"), nn.Module()) for _ in dit.blocks]
    for block, (rest, audio) in zip(dit.blocks, blocks, strict=True):
        for name, child in block.named_children():
            target = audio if name in ("audio_cross_attn", "norm_x") else rest
            target.add_module(name, child)
        rest.modulation = block.modulation
    for name, child in dit.named_children():
        if name not in ("blocks", "audio_proj"):
            network.add_module(name, child)
    network.blocks, layers.blocks = (nn.ModuleList(column) for column in zip(*blocks, strict=True))
    network.num_heads, network.text_len = config.dit.num_heads, config.dit.text_len
    layers.audio_proj = dit.audio_proj
    layers.audio_proj.blocks = config.dit.audio_blocks
    layers.audio_proj.channels = config.dit.audio_channels
    for layer in ears.encoder.layers:
        layer.attention.num_heads = config.audio.num_attention_heads
    ears.__class__ = type("Wav2Vec2Model", (type(ears),), {"do_normalize": True})
    vae.__class__ = type("WanVAE", (type(vae),), {"num_res_blocks": config.vae.num_res_blocks})
    statistics = SimpleNamespace(
        latents_mean=torch.tensor(config.vae.latent_mean),
        latents_std=torch.tensor(config.vae.latent_std),
    )
    base = named("WAN21", diffusion_model=network, latent_format=statistics)
    return {
        "model": patcher_of(pack, base),
        "model_patch": patcher_of(pack, layers),
        "vae": SimpleNamespace(first_stage_model=vae, latent_channels=16),
        "audio_encoder": SimpleNamespace(model=ears),
    }


def patcher_of(pack, module):
    """Return the stand-in's patcher with what nodes of other packs put into it, all empty."""
    device = pack["comfy.model_management"].get_torch_device()
    patcher = pack["comfy.model_patcher"].ModelPatcher(module, device, device)
    patcher.model_dtype = lambda: "float32"
    patcher.patches, patcher.backup, patcher.object_patches = {}, {}, {}
    patcher.model_options = {"transformer_options": {}}
    return patcher


def refusals(pack, parts):
    """Return inputs that are refused, each with the input that is named and the message."""
    large = named("WAN21", diffusion_model=parts["model"].model.diffusion_model)
    spread = patcher_of(pack, large)
    spread.additional_models = {"multigpu": [None]}
    text = named("WanModel", patch_embedding=nn.Conv3d(16, 8, 1))
    drawn = patcher_of(pack, named("WAN21", diffusion_model=text))
    layers, ears = parts["model_patch"].model, parts["audio_encoder"].model.encoder
    fewer = SimpleNamespace(audio_proj=layers.audio_proj, blocks=layers.blocks[:-1])
    encoder = SimpleNamespace(layers=ears.layers[:-1], layer_norm=ears.layer_norm)
    deaf = named("Wav2Vec2Model", encoder=encoder)
    vae = SimpleNamespace(first_stage_model=named("AutoencoderKL"), latent_channels=4)
    return [
        ({"model": SimpleNamespace(model=named("Flux"))}, "model", "MODEL of Flux: ComfyUI knows"),
        (
            {"model": drawn},
            "model",
            "MODEL of Wan with 16 input channels",
        ),
        ({"model": spread}, "model", "MODEL on 2 devices"),
        (
            {"model_patch": SimpleNamespace(model=named("ControlNet"))},
            "model_patch",
            "MODEL_PATCH of ControlNet: it has no audio layers",
        ),
        (
            {"model_patch": SimpleNamespace(model=fewer)},
            "model_patch",
            "MODEL_PATCH with 5 layers of width 176, MODEL with 6 of width 176",
        ),
        ({"vae": vae}, "vae", "VAE of AutoencoderKL with 4 latent channels"),
        (
            {"audio_encoder": SimpleNamespace(model=named("WhisperLargeV3"))},
            "audio_encoder",
            "AUDIO_ENCODER of WhisperLargeV3: a wav2vec2 is needed",
        ),
        (
            {"audio_encoder": SimpleNamespace(model=deaf)},
            "audio_encoder",
            "AUDIO_ENCODER with 3 layers of width 64: the audio layers were trained with 4 of",
        ),
    ]
