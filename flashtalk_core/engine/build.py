"""Construction of a talking avatar from a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..config.chunk import ChunkConfig
from ..geometry import chunk_span
from ..media.audio.source import SampleReader
from ..media.image.colour import ColourReference
from ..models.encoders.clip_vision import ClipVision
from ..models.encoders.text import TextEncoder, encode_prompt
from ..models.vae.model import VideoVAE
from ..parallel.image_spread import WHOLE, ImageSpread
from ..placement.provider import Residency
from ..placement.rounding import rounding_of
from ..sampling.schedule import model_timesteps
from .avatar import TalkingAvatar
from .chunk import ChunkDenoiser, ChunkModel, SpeakerPlaces, TransformerDenoiser
from .encoding_cache import EncodingMemo
from .events import NO_EVENTS, RenderEvents
from .plan import RenderPlan
from .plan import fingerprint as hash_of
from .reference import EncodedPortrait, ReferenceTrack, encode_portrait
from .request import PromptChange, check_request, warn_about_request
from .state import ChunkSource


@dataclass(frozen=True)
class LocalEngine:
    """Renders in this process; loading is reported by ``networks``, not to the events."""

    networks: Residency
    """Provides the networks."""
    memo: EncodingMemo | None = None
    """Encodings of earlier renders; ``None`` encodes everything."""
    denoiser: ChunkDenoiser | None = None
    """A host's own; ``None`` is the transformer of ``networks``."""

    @contextmanager
    def open(
        self, plan: RenderPlan, audio: SampleReader, events: RenderEvents
    ) -> Iterator[ChunkSource]:
        """Encode portrait and prompts; see :class:`.plan.Engine`."""
        yield build_avatar(
            plan, audio, self.networks, memo=self.memo, events=events, denoiser=self.denoiser
        )


@torch.no_grad()
def build_avatar(
    plan: RenderPlan,
    audio: SampleReader,
    networks: Residency,
    *,
    memo: EncodingMemo | None = None,
    events: RenderEvents = NO_EVENTS,
    denoiser: ChunkDenoiser | None = None,
) -> TalkingAvatar:
    """Encode portrait and prompts and prepare a session.

    The text encoder and the vision tower are released before the transformer is read: they
    run once, and together with it they would double the memory.

    Args:
        plan: Of the video.
        audio: Analysed audio.
        networks: Provides the networks.
        memo: Encodings of earlier renders; ``None`` encodes everything.
        events: Receives the steps and stages of each chunk.
        denoiser: See :class:`LocalEngine`.

    Returns:
        The avatar, ready for :func:`run_session`.

    Raises:
        InvalidInputError: If the request does not fit the model.
    """
    check_request(plan.request, plan.checkpoint.config)
    warn_about_request(
        plan.request,
        plan.checkpoint.config,
        plan.audio.duration_s,
        is_training_known=plan.checkpoint.sources.is_training_known,
    )
    memo = memo or EncodingMemo()
    encodings = encode_inputs(plan, networks, memo)
    mark = plan.fingerprint()
    return prepare_avatar(
        plan, encodings, audio, networks, mark, events, memo=memo, denoiser=denoiser
    )


@dataclass(frozen=True)
class Encodings:
    """Prompts and portrait as text encoder and vision tower return them."""

    contexts: Sequence[Tensor]
    """First prompt and later ones, each ``(n, text_dim)``."""
    clip_tokens: Tensor
    """``(1, clip_tokens, clip_dim)``."""


@torch.no_grad()
def encode_inputs(plan: RenderPlan, networks: Residency, memo: EncodingMemo) -> Encodings:
    """Encode prompts and portrait; an encoder is released when it has run."""
    contexts = _encode_prompts(plan, networks, memo)
    return Encodings(contexts, _encode_image(plan, plan.fitted_image(), networks, memo))


@torch.no_grad()
def prepare_avatar(
    plan: RenderPlan,
    encodings: Encodings,
    audio: SampleReader,
    networks: Residency,
    fingerprint: str,
    events: RenderEvents,
    spread: ImageSpread = WHOLE,
    memo: EncodingMemo | None = None,
    denoiser: ChunkDenoiser | None = None,
) -> TalkingAvatar:
    """Prepare a session; see :func:`build_avatar`.

    Args:
        plan: Of the video; what it says of the audio is not used.
        encodings: Of :func:`encode_inputs`.
        audio: Analysed audio.
        networks: Provides the networks.
        fingerprint: Of the session's states.
        events: Receives the steps and stages of each chunk.
        spread: Which part of a frame is encoded and decoded here.
        memo: Encodings of earlier renders; ``None`` encodes the portrait.
        denoiser: See :class:`LocalEngine`.
    """
    request = plan.request
    portrait = _encode_portrait(plan, encodings.clip_tokens, networks, spread, memo)
    frames = start_frames(request.prompt_changes, plan.chunk)
    timesteps = model_timesteps(request.sampling.steps, request.sampling.shift)
    masks = plan.speaker_masks()
    speakers = None if masks is None else SpeakerPlaces(masks, plan.routing)
    denoiser = denoiser or TransformerDenoiser(networks, timesteps, speakers)
    references = ReferenceTrack(denoiser.project, portrait, encodings.contexts, frames)
    references.at(chunk_span(0, plan.chunk))  # reads the transformer now, not within a chunk
    return TalkingAvatar(
        model=ChunkModel(
            networks,
            plan.chunk,
            plan.num_decode_latents,
            spread,
            denoiser,
            plan.motion_vae if plan.checkpoint.light_vae is not None else None,
        ),
        references=references,
        audio=audio,
        sampling=request.sampling,
        audio_window=plan.checkpoint.config.dit.audio_window,
        fingerprint=fingerprint,
        events=events,
        speakers=speakers,
    )


def _encode_portrait(
    plan: RenderPlan,
    tokens: Tensor,
    networks: Residency,
    spread: ImageSpread,
    memo: EncodingMemo | None,
) -> EncodedPortrait:
    """Return the portrait as the autoencoder encodes it, or has before."""
    image, place = plan.fitted_image(), plan.placement
    device = place.device_of(VideoVAE)
    # Everything that the last bits of its latents depend on.
    run = [str(place.dtype), rounding_of(device), place.memory.row_tiles]
    run.append(asdict(place.kernel_options_of(VideoVAE)))
    frames = plan.chunk.num_frames
    keys = [hash_of(image=image, frames=frames, run=run, part=part) for part in ("all", "one")]
    condition, latent = (None if memo is None else memo.find(key) for key in keys)
    if condition is not None and latent is not None:
        colour = ColourReference.from_image(image.to(device))
        return EncodedPortrait(condition.to(device), tokens, latent.to(device), colour)
    with networks.acquire(VideoVAE) as vae:
        portrait = encode_portrait(vae, tokens, image, frames, spread.encode)
    if memo is not None:
        memo.store(keys[0], portrait.condition)
        memo.store(keys[1], portrait.motion_latent)
    return portrait


def start_frames(changes: Sequence[PromptChange], chunk: ChunkConfig) -> list[int]:
    """Return the frame at which the first prompt and each later one begins."""
    return [0, *(max(1, round(change.start_s * chunk.frame_rate_hz)) for change in changes)]


def _encode_prompts(plan: RenderPlan, networks: Residency, memo: EncodingMemo) -> list[Tensor]:
    request, tokenizer = plan.request, plan.checkpoint.tokenizer
    if request.context is not None:
        return [request.context]
    assert tokenizer is not None, "without a text encoder the prompt must be encoded"
    prompts = [request.prompt, *(change.prompt for change in request.prompt_changes)]
    keys = [hash_of(prompt=prompt) for prompt in prompts]
    found = {key: context for key in keys if (context := memo.find(key)) is not None}
    if len(found) < len(set(keys)):
        length = plan.checkpoint.config.dit.text_len
        with networks.acquire(TextEncoder) as encoder:
            for key, prompt in zip(keys, prompts, strict=True):
                if key not in found:
                    context = encode_prompt(encoder, tokenizer, prompt, length)
                    found[key] = memo.store(key, context)
        networks.release(TextEncoder)
    return [found[key] for key in keys]


def _encode_image(
    plan: RenderPlan, image: Tensor, networks: Residency, memo: EncodingMemo
) -> Tensor:
    if plan.request.clip_tokens is not None:
        return plan.request.clip_tokens
    key = hash_of(image=image)
    stored = memo.find(key)
    if stored is not None:
        return stored
    with networks.acquire(ClipVision) as clip:
        tokens: Tensor = clip(image[None].to(next(clip.parameters()).device))
    networks.release(ClipVision)
    return memo.store(key, tokens)
