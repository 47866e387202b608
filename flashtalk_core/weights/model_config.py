"""Configuration of a model: its settings, and what its tensors tell where these are silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..config import (
    AudioEncoderConfig,
    AvatarConfig,
    ChunkConfig,
    ClipVisionConfig,
    DiTConfig,
    SamplingConfig,
    TextEncoderConfig,
    VAEConfig,
)
from ..errors import WeightsError
from .files import ModelFiles
from .key_maps import audio_name, clip_name, text_name
from .reader import TensorFile
from .sizes import (
    Shapes,
    Sizes,
    audio_sizes,
    clip_sizes,
    dit_sizes,
    named_shapes,
    text_sizes,
    vae_sizes,
)

# The authors call these fields by shorter names in their ``config.json``.
_DIT_ALIASES = {
    "intermediate_dim": "audio_intermediate_dim",
    "output_dim": "audio_output_dim",
    "context_tokens": "audio_context_tokens",
}


def avatar_config(files: ModelFiles, opened: Mapping[str, tuple[TensorFile, ...]]) -> AvatarConfig:
    """Return the whole configuration of a model.

    Settings of ``flashtalk.json`` go before those of ``config.json``, these before what the
    shapes say, and the published model's sizes fill the rest.

    Args:
        files: Where the parts lie, and their settings.
        opened: The files of each component, by part; none for a part that is left out.
    """
    settings = files.settings
    audio = audio_sizes(named_shapes(opened["audio"], audio_name)) | files.audio_config
    clip = clip_sizes(named_shapes(opened["clip"], clip_name)) | settings.get("clip", {})
    text = text_sizes(named_shapes(opened["text"], text_name)) | settings.get("text", {})
    vae = vae_sizes(named_shapes(opened["vae"])) | settings.get("vae", {})
    clip_config = ClipVisionConfig.from_mapping(clip)
    text_config = TextEncoderConfig.from_mapping(text)
    audio_config = AudioEncoderConfig.from_mapping(audio | settings.get("audio", {}))
    dit = _dit_config(files, named_shapes(opened["dit"]), audio_config, clip_config)
    # Without an encoder, its output comes from elsewhere, in the width that the transformer takes.
    config = AvatarConfig(
        dit=dit,
        vae=VAEConfig.from_mapping(vae),
        text=text_config if files.text else replace(text_config, dim=dit.text_dim),
        clip=clip_config if files.clip else replace(clip_config, dim=dit.clip_dim),
        audio=audio_config,
        chunk=ChunkConfig.from_mapping(settings.get("chunk", {})),
        sampling=SamplingConfig.from_mapping(settings.get("sampling", {})),
        **_plain_settings(settings),
    )
    _check_fit(files, config)
    return config


def _plain_settings(settings: Mapping[str, Any]) -> Sizes:
    plain: Sizes = {key: settings[key] for key in ("name", "prompt") if key in settings}
    if "size_px" in settings:
        plain["size_px"] = tuple(settings["size_px"])
    if "known_sizes_px" in settings:
        plain["known_sizes_px"] = tuple(tuple(size) for size in settings["known_sizes_px"])
    return plain


def _dit_config(
    files: ModelFiles, shapes: Shapes, audio: AudioEncoderConfig, clip: ClipVisionConfig
) -> DiTConfig:
    """Return the transformer's sizes; what it takes from the encoders is theirs by default."""
    given = {_DIT_ALIASES.get(key, key): value for key, value in files.dit_config.items()}
    given |= files.settings.get("dit", {})
    sizes = dit_sizes(shapes)
    sizes["clip_tokens"] = (clip.image_size // clip.patch_size) ** 2 + 1
    window = given.get("audio_window", DiTConfig.audio_window)
    width = audio.num_hidden_layers * audio.hidden_size
    # Otherwise the encoder is not this transformer's, which is told below.
    if shapes.get("audio_proj.proj1.weight", ())[1:] == (window * width,):
        sizes |= {"audio_blocks": audio.num_hidden_layers, "audio_channels": audio.hidden_size}
        longest = shapes.get("audio_proj.proj1_vf.weight", (0, 0))[1] // width
        sizes |= {"vae_scale": longest - window + 1} if longest else {}
    return DiTConfig.from_mapping(sizes | given)


def _check_fit(files: ModelFiles, config: AvatarConfig) -> None:
    """Refuse an encoder of another model before its weights are read."""
    dit, audio = config.dit, config.audio
    pairs = (
        (files.vae, "latent channels", config.vae.z_dim, dit.out_dim),
        (files.text, "text width", config.text.dim, dit.text_dim),
        (files.clip, "image width", config.clip.dim, dit.clip_dim),
        (files.audio, "audio width", audio.hidden_size, dit.audio_channels),
        (files.audio, "audio layers", audio.num_hidden_layers, dit.audio_blocks),
    )
    for path, what, found, expected in pairs:
        if path is not None and found != expected:
            raise WeightsError(
                f"{path}: {what} {found}, but the transformer in {files.dit[0]} takes {expected}; "
                "take the encoder of the same model"
            )
