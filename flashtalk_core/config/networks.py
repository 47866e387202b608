"""Sizes of the networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Annotated, Literal

from ..errors import require
from ..limits import Count, Epsilon, Width, Within

# Per-channel statistics of the Wan 2.1 VAE's latents.
# Source: SoulX-FlashTalk ``WanVAE`` @ 688982e (the numbers are Wan 2.1's).
WAN_LATENT_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
WAN_LATENT_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip

_MAX_VAE_LEVELS = 8
_LAYERS = Within(1, 32)
"""How many convolutions an audio encoder may have."""
_MAX_AUDIO_STRIDE = 16_000
"""A second: a chunk covers about one."""


def _check_parts(name: str, width: int, what: str, number: int) -> None:
    require(
        width % number == 0,
        f"{name} of width {width} with {number} {what}: the width must be a multiple of them",
    )


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Sizes of the diffusion transformer. Defaults are SoulX-FlashTalk-14B's."""

    dim: Width = 5120
    ffn_dim: Width = 13824
    freq_dim: Width = 256
    """Width of the sinusoidal timestep embedding."""
    text_dim: Width = 4096
    text_len: Annotated[int, Within(1, 8192)] = 512
    """Text positions; shorter prompts are padded with zeros and all are attended to."""
    num_heads: Count = 40
    num_layers: Count = 40
    in_dim: Width = 36
    """Input channels: noisy latent and condition."""
    out_dim: Width = 16
    eps: Epsilon = 1e-6
    patch_size: tuple[Count, Count, Count] = (1, 2, 2)
    audio_window: Count = 5
    """Audio frames around each video frame."""
    audio_blocks: Count = 12
    """Hidden layers of the audio encoder that are used."""
    audio_channels: Width = 768
    audio_intermediate_dim: Width = 512
    audio_output_dim: Width = 768
    audio_context_tokens: Width = 32
    vae_scale: Annotated[int, Within(1, 64)] = 4
    """Video frames a latent frame stands for."""
    clip_dim: Width = 1280
    clip_tokens: Width = 257
    norm_input_visual: bool = True
    norm_output_audio: bool = True

    def __post_init__(self) -> None:
        require(
            self.dim % self.num_heads == 0 and (self.dim // self.num_heads) % 2 == 0,
            f"DiT width {self.dim} with {self.num_heads} heads: heads must be even in width",
        )
        require(
            self.in_dim == 2 * self.out_dim + 4,
            f"DiT input of {self.in_dim} channels: with {self.out_dim} of the latent it takes "
            f"{2 * self.out_dim + 4} (noise, image and mask)",
        )
        require(
            self.freq_dim % 2 == 0,
            f"DiT timestep width {self.freq_dim}: sine and cosine need an even one",
        )
        require(
            self.patch_size[0] == 1 and set(self.patch_size[1:]) <= {1, 2},
            f"DiT patch size {self.patch_size}: use 1 in time and 1 or 2 in space, as (1, 2, 2)",
        )
        require(
            self.audio_window % 2 == 1,
            f"DiT audio window {self.audio_window}: use an odd number, as many before as after",
        )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.num_heads


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """Sizes of the causal video autoencoder. Defaults are Wan 2.1's."""

    dim: Width = 96
    z_dim: Width = 16
    dim_mult: tuple[Annotated[int, Within(1, 64)], ...] = (1, 2, 4, 4)
    num_res_blocks: Annotated[int, Within(1, 32)] = 2
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    latent_mean: tuple[float, ...] = field(default=WAN_LATENT_MEAN, repr=False)
    """Per channel, subtracted from the latent after encoding."""
    latent_std: tuple[float, ...] = field(default=WAN_LATENT_STD, repr=False)
    light_widths: Annotated[tuple[Width, ...], Within(0, 4)] = ()
    """Channels of the four levels of a small decoder, from latents to pixels, in the place of the
    autoencoder's own; without any it decodes itself. TAEHV's are 256, 128, 64, 64."""
    light_blocks: Count = 3
    """Blocks of each but the last level of the small decoder."""
    light_patch: Annotated[int, Within(1, 8)] = 1
    """Rows and columns of pixels that the small decoder makes of each place of its last level."""

    def __post_init__(self) -> None:
        require(
            len(self.latent_mean) == self.z_dim == len(self.latent_std),
            f"VAE statistics: {len(self.latent_mean)} and {len(self.latent_std)} values for "
            f"{self.z_dim} channels",
        )
        require(
            all(each > 0 for each in self.latent_std),
            "VAE statistics: a deviation is not above 0",
        )
        require(
            1 <= len(self.dim_mult) <= _MAX_VAE_LEVELS
            and len(self.temporal_downsample) == len(self.dim_mult) - 1,
            f"VAE of {len(self.dim_mult)} levels, {len(self.temporal_downsample)} between them: "
            f"1 to {_MAX_VAE_LEVELS} are known, and one less between them",
        )
        require(
            len(self.light_widths) in (0, 4) and self.light_patch in (1, 2, 4, 8),
            f"small decoder of {len(self.light_widths)} levels and {self.light_patch} pixels a "
            "place: none or 4, and 1, 2, 4 or 8 are known",
        )

    @property
    def spatial_stride(self) -> int:
        """Pixels a latent cell spans in height and in width."""
        return int(2 ** (len(self.dim_mult) - 1))


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """Sizes of the umT5 encoder. Defaults are umT5-XXL's."""

    vocab_size: Annotated[int, Within(1, 2**22)] = 256_384
    dim: Width = 4096
    dim_attn: Width = 4096
    dim_ffn: Width = 10_240
    num_heads: Count = 64
    num_layers: Count = 24
    num_buckets: Annotated[int, Within(4, 4096)] = 32

    def __post_init__(self) -> None:
        _check_parts("text encoder", self.dim_attn, "heads", self.num_heads)


@dataclass(frozen=True, kw_only=True)
class ClipVisionConfig:
    """Sizes of the CLIP vision tower. Defaults are ViT-H/14's."""

    image_size: Annotated[int, Within(1, 4096)] = 224
    patch_size: Annotated[int, Within(1, 4096)] = 14
    dim: Width = 1280
    mlp_ratio: Annotated[float, Within(0.01, 64)] = 4.0
    num_heads: Count = 16
    num_layers: Count = 32
    """Blocks of the published tower; the last one is never run."""

    def __post_init__(self) -> None:
        _check_parts("CLIP", self.dim, "heads", self.num_heads)
        require(
            self.patch_size <= self.image_size,
            f"CLIP patches of {self.patch_size} pixels: the image has {self.image_size}",
        )


@dataclass(frozen=True, kw_only=True)
class AudioEncoderConfig:
    """Sizes of the wav2vec2 encoder, named as in its ``config.json``. Defaults are base."""

    hidden_size: Width = 768
    intermediate_size: Width = 3072
    num_hidden_layers: Count = 12
    num_attention_heads: Count = 12
    conv_dim: Annotated[tuple[Width, ...], _LAYERS] = (512,) * 7
    conv_kernel: Annotated[tuple[Count, ...], _LAYERS] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: Annotated[tuple[Count, ...], _LAYERS] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    feat_extract_norm: Literal["group", "layer"] = "group"
    do_stable_layer_norm: bool = False
    num_conv_pos_embeddings: Annotated[int, Within(1, 4096)] = 128
    num_conv_pos_embedding_groups: Width = 16
    layer_norm_eps: Epsilon = 1e-5
    do_normalize: bool = True
    """Whether the audio is brought to zero mean and unit variance first."""

    def __post_init__(self) -> None:
        _check_parts("audio encoder", self.hidden_size, "heads", self.num_attention_heads)
        groups = self.num_conv_pos_embedding_groups
        _check_parts("audio encoder", self.hidden_size, "groups of positions", groups)
        lengths = len(self.conv_dim), len(self.conv_kernel), len(self.conv_stride)
        require(
            len(set(lengths)) == 1,
            "audio encoder: {} widths, {} kernels and {} strides of convolutions; need one of each "
            "for every layer".format(*lengths),
        )
        require(
            prod(self.conv_stride) <= _MAX_AUDIO_STRIDE,
            f"audio encoder: one feature for {prod(self.conv_stride)} samples; the limit is "
            f"{_MAX_AUDIO_STRIDE}",
        )
