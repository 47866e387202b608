"""wav2vec2 encoder that returns every hidden layer at the video's frame rate.

Axis legend: B batch, S samples, C channels of the convolutions, F video frames.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...config.networks import AudioEncoderConfig
from ..grouped_convolution import multiply_groups
from ..half_precision import guard_convolutions


def normalise_samples(samples: Tensor) -> Tensor:
    """Bring each signal to zero mean and unit variance.

    Args:
        samples: ``(B, S)`` float32.

    Returns:
        ``(B, S)`` float32; a silent signal stays zero.

    Source: transformers ``Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm``.
    """
    variance, mean = torch.var_mean(samples, dim=-1, correction=0, keepdim=True)
    return (samples - mean) / torch.sqrt(variance + 1e-7)


class EncoderExecution(Protocol):
    """Runs an audio encoder; every one computes what :func:`run_encoder` computes."""

    def __call__(self, encoder: AudioEncoder, samples: Tensor, num_frames: int) -> Tensor:
        """Run ``encoder``; for the tensors see :meth:`AudioEncoder.forward`."""
        ...


def run_encoder(encoder: AudioEncoder, samples: Tensor, num_frames: int) -> Tensor:
    """Launch the kernels of the encoder one by one; an :class:`EncoderExecution`."""
    return encoder.encode(samples, num_frames)


class AudioEncoder(nn.Module):
    """wav2vec2 whose features are resampled to video frames before its transformer.

    The layers are those of ``transformers``; parameter names are theirs. They are called one
    by one here, because the library's own forward cannot resample between them.
    """

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        from transformers import Wav2Vec2Model

        self.config = config
        self.execution: EncoderExecution = run_encoder
        model = Wav2Vec2Model(_library_config(config))
        self.feature_extractor = model.feature_extractor
        self.feature_projection = model.feature_projection
        self.encoder = model.encoder
        guard_convolutions(self)
        multiply_groups(self.encoder.pos_conv_embed.conv)

    def forward(self, samples: Tensor, num_frames: int) -> Tensor:
        """Encode speech.

        Args:
            samples: ``(B, S)`` float32 at 16 kHz; at least 400 samples with the usual strides.
            num_frames: Video frames F that the samples span.

        Returns:
            Hidden states ``(B, F, num_hidden_layers, hidden_size)``, first layer first, without
            the input of the transformer; in the weights' dtype, or autocast's.

        Source: SoulX-FlashTalk ``Wav2Vec2Model.forward`` @ 688982e.
        """
        return self.execution(self, samples, num_frames)

    def encode(self, samples: Tensor, num_frames: int) -> Tensor:
        """Encode speech; see :meth:`forward`.

        About 250 small kernels: launching them takes several times as long as running them.
        """
        if self.config.do_normalize:
            samples = normalise_samples(samples)
        features = self.feature_extractor(samples.to(self.encoder.layer_norm.weight.dtype))
        features = functional.interpolate(
            features, size=num_frames, mode="linear", align_corners=True
        )
        hidden, _ = self.feature_projection(features.transpose(1, 2))
        return torch.stack(self._run_layers(hidden), dim=2)

    def _run_layers(self, hidden: Tensor) -> list[Tensor]:
        """Return the output of every layer for ``(B, F, hidden_size)``."""
        stable = self.config.do_stable_layer_norm
        hidden = hidden + self.encoder.pos_conv_embed(hidden)
        if not stable:
            hidden = self.encoder.layer_norm(hidden)
        outputs = []
        for layer in self.encoder.layers:
            result = layer(hidden)
            # A tuple before release 5 of the library.
            hidden = result[0] if isinstance(result, tuple) else result
            outputs.append(hidden)
        if stable:
            # The library lists the last state after the closing norm, the others before it.
            outputs[-1] = self.encoder.layer_norm(outputs[-1])
        return outputs


def _library_config(config: AudioEncoderConfig) -> Any:
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        conv_dim=list(config.conv_dim),
        conv_kernel=list(config.conv_kernel),
        conv_stride=list(config.conv_stride),
        conv_bias=config.conv_bias,
        feat_extract_norm=config.feat_extract_norm,
        do_stable_layer_norm=config.do_stable_layer_norm,
        num_conv_pos_embeddings=config.num_conv_pos_embeddings,
        num_conv_pos_embedding_groups=config.num_conv_pos_embedding_groups,
        layer_norm_eps=config.layer_norm_eps,
        # Nothing random: the encoder is small, or frozen.
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        # Without masking there is no ``masked_spec_embed`` among the parameters.
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )
