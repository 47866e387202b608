"""Configuration of a model: its settings, completed by the shapes of its tensors."""

from __future__ import annotations

from dataclasses import replace

from ...config.avatar import AvatarConfig, FramingConfig
from ...config.chunk import ChunkConfig
from ...config.networks import (
    AudioEncoderConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from ...config.sampling import SamplingConfig
from ...errors import InvalidInputError, WeightsError
from ...geometry import SPATIAL_STRIDE, TEMPORAL_STRIDE
from ..discovery.infinite_talk import defaults_of
from ..model_sources import ModelSources
from .key_maps import audio_name, clip_name, text_name
from .model_settings import ModelSettings, check_counts
from .sizes import (
    Shapes,
    Sizes,
    audio_sizes,
    clip_sizes,
    decoder_sizes,
    dit_sizes,
    named_shapes,
    text_sizes,
    vae_sizes,
)


def avatar_config(model: ModelSources) -> AvatarConfig:
    """Return the whole configuration of a model.

    Settings of ``flashtalk.json`` override those of ``config.json``, which override the sizes in
    the shapes; the published model's sizes fill the rest.

    Raises:
        WeightsError: If a setting is of another type, out of its limits, or not that of the
            weights.
    """
    try:
        config = _avatar_config(model)
    except InvalidInputError as error:
        remedy = "correct the file, or download it again"
        if not model.settings.values and not model.dit_config.values:
            remedy = "put its model's flashtalk.json beside it"
        raise WeightsError(f"{error}; {remedy}", subject=error.subject) from error
    _check_fit(model, config)
    return config


def _avatar_config(model: ModelSources) -> AvatarConfig:
    given = ModelSettings(model)
    shapes = {
        "dit": named_shapes(model.dit),
        "vae": named_shapes(model.vae),
        "text": named_shapes(model.text, text_name),
        "clip": named_shapes(model.clip, clip_name),
        "audio": named_shapes(model.audio, audio_name),
    }
    check_counts(given, shapes)
    trained = defaults_of(source.name for source in model.dit)
    clip = given.read(ClipVisionConfig, "clip", clip_sizes(shapes["clip"]))
    text = given.read(TextEncoderConfig, "text", text_sizes(shapes["text"]))
    audio = given.read(AudioEncoderConfig, "audio", audio_sizes(shapes["audio"]))
    audio = audio if model.audio else _audio_of(given, shapes["dit"], audio)
    dit = given.read(DiTConfig, "dit", _dit_sizes(given, shapes["dit"], audio, clip))
    # Without an encoder, its output comes from elsewhere, in the width that the transformer takes.
    return AvatarConfig(
        dit=dit,
        vae=given.read(VAEConfig, "vae", vae_sizes(shapes["vae"]), decoder_sizes(shapes["vae"])),
        text=text if model.text else replace(text, dim=dit.text_dim),
        clip=clip if model.clip else replace(clip, dim=dit.clip_dim, num_heads=1),
        audio=audio,
        chunk=given.read(ChunkConfig, "chunk", trained["chunk"]),
        sampling=given.read(SamplingConfig, "sampling", trained["sampling"]),
        framing=given.read(FramingConfig, "framing", {}),
        **trained["plain"] | given.plain(),
    )


def _dit_sizes(
    given: ModelSettings, shapes: Shapes, audio: AudioEncoderConfig, clip: ClipVisionConfig
) -> Sizes:
    """Return the transformer's sizes; what it takes from the encoders is theirs by default."""
    sizes = dit_sizes(shapes)
    sizes["clip_tokens"] = (clip.image_size // clip.patch_size) ** 2 + 1
    window = given.values["dit"].get("audio_window", DiTConfig.audio_window)
    width = audio.num_hidden_layers * audio.hidden_size
    # Otherwise the encoder is not this transformer's, which is reported below.
    if shapes.get("audio_proj.proj1.weight", ())[1:] == (window * width,):
        sizes |= {"audio_blocks": audio.num_hidden_layers, "audio_channels": audio.hidden_size}
        longest = (*shapes.get("audio_proj.proj1_vf.weight", ()), 0, 0)[1] // width
        sizes |= {"vae_scale": longest - window + 1} if longest else {}
    return sizes


def _audio_of(
    given: ModelSettings, shapes: Shapes, audio: AudioEncoderConfig
) -> AudioEncoderConfig:
    """Return an encoder that gives what a lone transformer takes; its layers are not known."""
    taken = (*shapes.get("audio_proj.proj1.weight", ()), 0, 0)[1]
    width, rest = divmod(taken, given.values["dit"].get("audio_window", DiTConfig.audio_window))
    if rest or width in (0, audio.num_hidden_layers * audio.hidden_size):
        return audio
    return replace(
        audio,
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_conv_pos_embedding_groups=1,
    )


def _check_fit(model: ModelSources, config: AvatarConfig) -> None:
    """Refuse an encoder of another model before its weights are read."""
    dit, audio, clip = config.dit, config.audio, config.clip
    strides = 2 ** sum(config.vae.temporal_downsample), config.vae.spatial_stride
    if strides != (TEMPORAL_STRIDE, SPATIAL_STRIDE):
        # Frames and sizes of videos are counted in these everywhere.
        raise WeightsError(
            f"{model.vae[0].label}: one latent for {strides[0]} frames and {strides[1]} pixels, "
            f"where {TEMPORAL_STRIDE} and {SPATIAL_STRIDE} are known; take the Wan 2.1 VAE",
            subject="vae",
        )
    clip_tokens = (clip.image_size // clip.patch_size) ** 2 + 1
    pairs = (
        ("vae", model.vae, "latent channels", config.vae.z_dim, dit.out_dim),
        ("text", model.text, "text width", config.text.dim, dit.text_dim),
        ("clip", model.clip, "image width", clip.dim, dit.clip_dim),
        ("clip", model.clip, "image tokens", clip_tokens, dit.clip_tokens),
        ("audio", model.audio, "audio width", audio.hidden_size, dit.audio_channels),
        ("audio", model.audio, "audio layers", audio.num_hidden_layers, dit.audio_blocks),
    )
    for part, sources, what, found, expected in pairs:
        if sources and found != expected:
            raise WeightsError(
                f"{sources[0].label}: {what} {found}, but the transformer in {model.dit[0].label} "
                f"takes {expected}; take the encoder of the same model",
                subject=part,
            )
