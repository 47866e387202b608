"""The conditions of a session: the portrait, and the prompt of each chunk.

Axis legend: B batch, F pixel frames, T latent frames, H W pixels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config.chunk import ChunkConfig
from ..geometry import ChunkSpan, num_latent_frames
from ..media.image.colour import ColourReference
from ..models.transformer.model import AvatarDiT
from ..models.vae.model import VideoVAE

Encode = Callable[[VideoVAE, Tensor], Tensor]
"""Returns the whole latents of whole frames."""


@dataclass(frozen=True)
class EncodedPortrait:
    """An encoded portrait; it does not depend on the prompt."""

    condition: Tensor
    """Mask and encoded image, ``(1, 20, T, h, w)``."""
    clip_tokens: Tensor
    """``(1, clip_tokens, clip_dim)``."""
    motion_latent: Tensor
    """The encoded image, ``(1, 16, 1, h, w)``: motion latent of the first chunk."""
    colour: ColourReference


@dataclass(frozen=True)
class Reference:
    """A portrait and a prompt, projected once for all chunks."""

    session: Any
    """Whatever the denoiser made of them, such as :class:`.SessionContext`; only that one looks
    inside."""
    motion_latent: Tensor
    """The encoded image, ``(1, 16, 1, h, w)``: motion latent of the first chunk."""
    colour: ColourReference


def image_mask(num_frames: int, height: int, width: int) -> Tensor:
    """Return the condition's mask ``(1, 4, T, h, w)``: ones on the image's frame.

    A latent frame carries four mask channels, one for each pixel frame it stands for; the first
    one stands for the image four times.
    """
    mask = torch.zeros(1, 4, num_latent_frames(num_frames), height, width)
    mask[:, :, 0] = 1
    return mask


def encode_condition(
    vae: VideoVAE, image: Tensor, num_frames: int, encode: Encode = VideoVAE.encode
) -> Tensor:
    """Encode the image as the model's condition.

    Args:
        vae: The autoencoder.
        image: ``(B, 3, 1, H, W)`` in ``[-1, 1]``.
        num_frames: F of a chunk.
        encode: How, if several ranks do it together.

    Returns:
        Mask and encoded [image, zeros], ``(B, 20, T, h, w)``.
    """
    batch, channels, _, height, width = image.shape
    blank = image.new_zeros(batch, channels, num_frames - 1, height, width)
    latent = encode(vae, torch.cat([image, blank], dim=2))
    mask = image_mask(num_frames, *latent.shape[-2:]).to(latent).expand(batch, -1, -1, -1, -1)
    return torch.cat([mask, latent], dim=1)


@torch.no_grad()
def encode_portrait(
    vae: VideoVAE,
    clip_tokens: Tensor,
    image: Tensor,
    num_frames: int,
    encode: Encode = VideoVAE.encode,
) -> EncodedPortrait:
    """Encode a portrait for a session.

    Args:
        vae: The autoencoder.
        clip_tokens: The image's tokens, ``(1, clip_tokens, clip_dim)``.
        image: ``(3, H, W)`` float32 in ``[-1, 1]``.
        num_frames: F of a chunk.
        encode: How, if several ranks do it together.

    Returns:
        The portrait, on the autoencoder's device; the tokens stay where they are.
    """
    weight = next(vae.parameters())
    frame = image.to(weight)[None, :, None]
    return EncodedPortrait(
        condition=encode_condition(vae, frame, num_frames, encode),
        clip_tokens=clip_tokens,
        motion_latent=encode(vae, frame),
        colour=ColourReference.from_image(image.to(weight.device)),
    )


@torch.no_grad()
def project_reference(
    dit: AvatarDiT, portrait: EncodedPortrait, context: Tensor, timesteps: Sequence[float] = ()
) -> Reference:
    """Project a portrait with a prompt.

    Args:
        dit: The diffusion transformer.
        portrait: The encoded portrait.
        context: Encoded prompt, ``(n, text_dim)``.
        timesteps: Those of the denoising steps, if known; see `AvatarDiT.project_session`.

    Returns:
        The reference, its projections on the transformer's device and in its dtype.
    """
    weight = dit.patch_embedding.weight
    return Reference(
        session=dit.project_session(
            portrait.condition.to(weight),
            context[None].to(weight),
            portrait.clip_tokens.to(weight),
            timesteps,
        ),
        motion_latent=portrait.motion_latent,
        colour=portrait.colour,
    )


def prepare_reference(
    *,
    dit: AvatarDiT,
    vae: VideoVAE,
    clip_tokens: Tensor,
    image: Tensor,
    context: Tensor,
    chunk: ChunkConfig,
    timesteps: Sequence[float] = (),
) -> Reference:
    """Encode a portrait and project it with one prompt.

    Args:
        dit: The diffusion transformer.
        vae: The autoencoder.
        clip_tokens: The image's tokens, ``(1, clip_tokens, clip_dim)``.
        image: ``(3, H, W)`` float32 in ``[-1, 1]``.
        context: Encoded prompt, ``(n, text_dim)``.
        chunk: Arithmetic of a chunk.
        timesteps: See :func:`project_reference`.

    Returns:
        The reference, on the models' devices and in their dtypes.
    """
    portrait = encode_portrait(vae, clip_tokens, image, chunk.num_frames)
    return project_reference(dit, portrait, context, timesteps)


Project = Callable[[EncodedPortrait, Tensor], Reference]
"""Projects a portrait with a prompt, ``(n, text_dim)``."""


class ReferenceTrack:
    """One portrait under changing prompts.

    A prompt is projected when it begins, and its projections are dropped when the next one does:
    they are large (0.6 GB at the full size), and a session only moves forward.
    """

    def __init__(
        self,
        project: Project,
        portrait: EncodedPortrait,
        contexts: Sequence[Tensor],
        start_frames: Sequence[int],
    ) -> None:
        """Project nothing yet.

        Args:
            project: Projects the portrait with a prompt.
            portrait: The encoded portrait.
            contexts: Encoded prompts, each ``(n, text_dim)``.
            start_frames: Frame of the video each of them begins at; the first is 0.
        """
        assert len(contexts) == len(start_frames), (len(contexts), len(start_frames))
        assert start_frames[0] == 0, start_frames
        self._project = project
        self._portrait = portrait
        self._contexts = contexts
        self._start_frames = start_frames
        self._projected: tuple[int, Reference] | None = None

    def at(self, span: ChunkSpan) -> Reference:
        """Return the reference of a chunk."""
        index = self.index_at(span)
        if self._projected is None or self._projected[0] != index:
            self._projected = None  # before the next one takes its memory
            self._projected = index, self._project(self._portrait, self._contexts[index])
        return self._projected[1]

    def index_at(self, span: ChunkSpan) -> int:
        """Return the index of a chunk's prompt: a change happens at the nearest chunk boundary."""
        middle = span.shown.start + len(span.shown) / 2
        return max(i for i, start in enumerate(self._start_frames) if not start or start <= middle)
