"""wav2vec2 encoder that returns every hidden layer at the video's frame rate.

Axis legend: B batch, S samples, C channels of the convolutions, F video frames.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...config.networks import AudioEncoderConfig
from ..grouped_convolution import multiply_groups
from ..half_precision import guard_convolutions
from .wav2vec2 import Encoder, FeatureExtractor, FeatureProjection


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

    Parameter names are those of the published weights.
    """

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.execution: EncoderExecution = run_encoder
        self.feature_extractor = FeatureExtractor(config)
        self.feature_projection = FeatureProjection(config)
        self.encoder = Encoder(config)
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
        hidden = self.feature_projection(features.transpose(1, 2))
        return torch.stack(self._run_layers(hidden), dim=2)

    def _run_layers(self, hidden: Tensor) -> list[Tensor]:
        """Return the output of every layer for ``(B, F, hidden_size)``."""
        stable = self.config.do_stable_layer_norm
        hidden = hidden + self.encoder.pos_conv_embed(hidden)
        if not stable:
            hidden = self.encoder.layer_norm(hidden)
        outputs = []
        for layer in self.encoder.layers:
            hidden = layer(hidden)
            outputs.append(hidden)
        if stable:
            # The authors use the last state after the closing norm, the others before it.
            outputs[-1] = self.encoder.layer_norm(outputs[-1])
        return outputs
