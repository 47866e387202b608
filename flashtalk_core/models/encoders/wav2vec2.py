"""Layers of wav2vec2, with the published parameter names.

Axis legend: B batch, S samples, C channels of the convolutions, L features.

Source: Baevski et al., "wav2vec 2.0", 2020; the base and the large form of its published weights.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import register_parametrization

from ...config.networks import AudioEncoderConfig
from .self_attention import SelfAttention


class FeatureConvolution(nn.Module):
    """Strided convolution, then a norm where the form of wav2vec2 has one here, then GELU."""

    def __init__(self, config: AudioEncoderConfig, index: int, inputs: int) -> None:
        super().__init__()
        channels = config.conv_dim[index]
        self.conv = nn.Conv1d(
            inputs,
            channels,
            config.conv_kernel[index],
            config.conv_stride[index],
            bias=config.conv_bias,
        )
        # The base form normalises each channel over time, after the first convolution only.
        self.layer_norm: nn.Module | None = None
        if config.feat_extract_norm == "layer":
            self.layer_norm = nn.LayerNorm(channels)
        elif index == 0:
            self.layer_norm = nn.GroupNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(B, inputs, S)`` to ``(B, C, S')``."""
        x = self.conv(x)
        if isinstance(self.layer_norm, nn.LayerNorm):
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        elif self.layer_norm is not None:
            x = self.layer_norm(x)
        return functional.gelu(x)


class FeatureExtractor(nn.Module):
    """All convolutions, from samples to features."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        inputs = [previous for previous, _ in pairwise((1, *config.conv_dim))]
        self.conv_layers = nn.ModuleList(
            FeatureConvolution(config, index, count) for index, count in enumerate(inputs)
        )

    def forward(self, samples: Tensor) -> Tensor:
        """Bring ``(B, S)`` in the weights' dtype to ``(B, C, L)``."""
        x = samples[:, None]
        for layer in self.conv_layers:
            x = layer(x)
        return x


class FeatureProjection(nn.Module):
    """Norm and projection from the width of the convolutions to that of the transformer."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """Project ``(B, L, C)`` to ``(B, L, hidden_size)``."""
        projected: Tensor = self.projection(self.layer_norm(features))
        return projected


class TapNorm(nn.Module):
    """A kernel as one norm for each tap, and directions.

    What PyTorch's own ``weight_norm`` computes, which computes norms on the meta device as well:
    there PyTorch imports its compiler for them.
    """

    def forward(self, norms: Tensor, directions: Tensor) -> Tensor:
        """Return the kernel ``(out, in, K)`` of norms ``(1, 1, K)`` and ``(out, in, K)``."""
        return torch._weight_norm(directions, norms, 2)

    def right_inverse(self, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """Return norms and directions of a kernel ``(out, in, K)``."""
        if kernel.is_meta:
            return kernel.new_empty(1, 1, kernel.shape[2]), kernel
        return torch.norm_except_dim(kernel, 2, 2), kernel


class PositionConvolution(nn.Module):
    """Positions as a grouped convolution over time, its kernel of a learned norm at each tap."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        kernel = config.num_conv_pos_embeddings
        conv = nn.Conv1d(
            config.hidden_size,
            config.hidden_size,
            kernel,
            padding=kernel // 2,
            groups=config.num_conv_pos_embedding_groups,
        )
        register_parametrization(conv, "weight", TapNorm(), unsafe=True)
        self.conv = conv

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what is added to ``hidden``, both ``(B, L, hidden_size)``."""
        # An even kernel gives one feature too many at the end.
        x = self.conv(hidden.transpose(1, 2))[..., : hidden.shape[1]]
        return functional.gelu(x).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(B, L, hidden_size)`` to the same shape."""
        result: Tensor = self.output_dense(functional.gelu(self.intermediate_dense(hidden)))
        return result


class EncoderLayer(nn.Module):
    """Attention and feed-forward; norms are behind the sums, or before the branches (stable)."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self._is_stable = config.do_stable_layer_norm
        self.attention = SelfAttention(config.hidden_size, config.num_attention_heads)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(B, L, hidden_size)`` to the same shape."""
        if self._is_stable:
            hidden = hidden + self.attention(self.layer_norm(hidden))
            return hidden + self.feed_forward(self.final_layer_norm(hidden))
        hidden = self.layer_norm(hidden + self.attention(hidden))
        normed: Tensor = self.final_layer_norm(hidden + self.feed_forward(hidden))
        return normed


class Encoder(nn.Module):
    """Parts of the transformer; :class:`..audio.AudioEncoder` runs them one by one."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.pos_conv_embed = PositionConvolution(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_hidden_layers))
