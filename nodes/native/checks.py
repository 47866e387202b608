"""Whether what was connected is what a FlashTalk model is made of, before anything is loaded."""

from __future__ import annotations

from typing import Any

from torch import nn

from ...flashtalk_core.errors import require

_LATENT_CHANNELS = 16
_PATCH_LOADER = "load InfiniteTalk's (wan2.1_infiniteTalk_single_fp16) with Load Model Patch"
_MODEL_LOADER = (
    "load Wan 2.1 I2V 14B, or FlashTalk's transformer as 'convert --audio-layers' writes it, with "
    "Load Diffusion Model"
)


def check_model(model: Any) -> nn.Module:
    """Return the transformer of a MODEL.

    Raises:
        InvalidInputError: If it is of another architecture than Wan 2.1 image to video, or was
            spread over several devices.
    """
    base = getattr(model, "model", None)
    found = type(base).__name__
    network: nn.Module | None = getattr(base, "diffusion_model", None)
    known = found == "WAN21" and type(network).__name__ == "WanModel"
    require(
        known and network is not None,
        f"MODEL of {found}: ComfyUI knows it as another architecture than Wan 2.1 image to video "
        f"(WAN21); {_MODEL_LOADER}",
        subject="dit",
    )
    assert network is not None
    channels = network.patch_embedding.weight.shape[1]
    wanted = 2 * _LATENT_CHANNELS + 4
    require(
        channels == wanted,
        f"MODEL of Wan with {channels} input channels, as text to video has: an image and its mask "
        f"need {wanted}; {_MODEL_LOADER}",
        subject="dit",
    )
    others = getattr(model, "additional_models", {}).get("multigpu", [])
    require(
        not others,
        f"MODEL on {len(others) + 1} devices: chunks of a native model are computed on one; remove "
        "MultiGPU CFG Split, which has nothing to split here, or use FlashTalk Model Loader with "
        "'devices'",
        subject="devices",
    )
    return network


def check_patch(patch: Any) -> nn.Module:
    """Return the audio layers of a MODEL_PATCH.

    Raises:
        InvalidInputError: If it is a patch of another kind.
    """
    layers: nn.Module | None = getattr(patch, "model", None)
    is_audio = hasattr(layers, "audio_proj") and hasattr(layers, "blocks")
    require(
        is_audio,
        f"MODEL_PATCH of {type(layers).__name__}: it has no audio layers (audio_proj, blocks); "
        f"{_PATCH_LOADER}",
        subject="audio_layers",
    )
    assert layers is not None
    return layers


def check_fit(network: nn.Module, layers: nn.Module) -> None:
    """Check that audio layers belong to a transformer of the same size.

    Raises:
        InvalidInputError: If there are more or fewer than it has blocks, or of another width.
    """
    counts, widths = (len(each.blocks) for each in (network, layers)), []
    for each in (network.blocks[0].cross_attn.q, layers.blocks[0].audio_cross_attn.q_linear):
        widths.append(each.in_features)
    ours, theirs = counts
    require(
        (ours, widths[0]) == (theirs, widths[1]),
        f"MODEL_PATCH with {theirs} layers of width {widths[1]}, MODEL with {ours} of width "
        f"{widths[0]}: they are of different models; take both of Wan 2.1 14B",
        subject="audio_layers",
    )


def check_vae(vae: Any) -> nn.Module:
    """Return the network of a VAE.

    Raises:
        InvalidInputError: If its latents are others than Wan 2.1's.
    """
    network: nn.Module | None = getattr(vae, "first_stage_model", None)
    found = type(network).__name__
    channels = getattr(vae, "latent_channels", None)
    is_wan = found == "WanVAE" and channels == _LATENT_CHANNELS
    require(
        is_wan,
        f"VAE of {found} with {channels} latent channels: Wan 2.1's own (WanVAE, "
        f"{_LATENT_CHANNELS}) is needed; load wan_2.1_vae with Load VAE",
        subject="vae",
    )
    assert network is not None
    return network


def check_encoder(encoder: Any, layers: nn.Module) -> nn.Module:
    """Return the network of an AUDIO_ENCODER.

    Args:
        encoder: What was connected.
        layers: Audio layers that take its features.

    Raises:
        InvalidInputError: If it is of another kind or size than these were trained with.
    """
    network: nn.Module | None = getattr(encoder, "model", None)
    found = type(network).__name__
    remedy = "load wav2vec2-chinese-base_fp16 with Load Audio Encoder"
    require(
        found == "Wav2Vec2Model",
        f"AUDIO_ENCODER of {found}: a wav2vec2 is needed; {remedy}",
        subject="audio",
    )
    assert network is not None
    projection = layers.audio_proj
    inner = network.encoder
    ours = len(inner.layers), inner.layer_norm.normalized_shape[0]
    theirs = projection.blocks, projection.channels
    require(
        ours == theirs,
        f"AUDIO_ENCODER with {ours[0]} layers of width {ours[1]}: the audio layers were trained "
        f"with {theirs[0]} of width {theirs[1]}; {remedy}",
        subject="audio",
    )
    return network
