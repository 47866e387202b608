"""One denoising step: what stays the same around it, and how its kernels are launched.

Axis legend: B batch, T latent frames, h w latent cells, L tokens, C width, N heads, D head dim,
A audio tokens a frame, H W pixels, K classes of masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from ...config.avatar import SpeakerRouting
from .block import BlockContext, KeyValue
from .layout import TokenLayout

TimeContext = tuple[Tensor, Tensor]
"""The embedded timestep ``(B, C)`` and its modulation ``(B, 6, C)``, float32."""


@dataclass(frozen=True)
class SessionContext:
    """What stays the same in a session: condition, prompt and image, projected once."""

    condition: Tensor
    """Mask and encoded image, ``(B, 20, T, h, w)``."""
    blocks: tuple[BlockContext, ...]
    """Keys and values for each block."""
    rotation: Tensor
    """Rotary table of the tokens that are held here, ``(L, D / 2, 2)`` float32."""
    times: Mapping[tuple[float, ...], TimeContext]
    """Embeddings of the timesteps that were known beforehand, by value."""
    most_tokens: int
    """Tokens of the device that holds most of them."""


@dataclass(frozen=True)
class AudioContext:
    """What stays the same in a chunk: the audio, projected once for all steps."""

    blocks: tuple[KeyValue, ...]
    """Keys and values for each block, ``(B * T, A, N, D)``; with regions B is one for each
    mask."""
    masks: Tensor | None = None
    """Reference masks of two speakers at pixel size, ``(K, H, W)``; ``None`` with one."""
    routing: SpeakerRouting = "rotary"
    """How two speakers are told apart."""


class StepNetwork(Protocol):
    """What a step needs of a transformer."""

    layout: TokenLayout

    def predict(
        self, latent: Tensor, times: TimeContext, session: SessionContext, audio: AudioContext
    ) -> Tensor:
        """Predict the velocity of a noisy chunk, ``(B, 16, T, h, w)`` float32; same shape."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """Yield the layers, which own the weights."""
        ...


class StepExecution(Protocol):
    """Runs one step of a transformer; every one computes what :func:`run_step` computes."""

    def __call__(
        self,
        dit: StepNetwork,
        latent: Tensor,
        times: TimeContext,
        session: SessionContext,
        audio: AudioContext,
    ) -> Tensor:
        """Run ``dit``; for the tensors see :meth:`StepNetwork.predict`."""
        ...


def run_step(
    dit: StepNetwork,
    latent: Tensor,
    times: TimeContext,
    session: SessionContext,
    audio: AudioContext,
) -> Tensor:
    """Launch the kernels of a step one by one; a :class:`StepExecution`."""
    return dit.predict(latent, times, session, audio)
