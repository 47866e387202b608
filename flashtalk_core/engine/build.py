"""Construction of a talking avatar from a plan."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..config.chunk import ChunkConfig
from ..geometry import chunk_span
from ..media.audio.source import SampleReader
from ..models.encoders.clip_vision import ClipVision
from ..models.encoders.text import TextEncoder, encode_prompt
from ..models.vae.model import VideoVAE
from ..placement.provider import Residency
from ..sampling.schedule import model_timesteps
from .avatar import TalkingAvatar
from .chunk import ChunkModel
from .encoding_cache import EncodingMemo
from .events import NO_EVENTS, RenderEvents
from .plan import RenderPlan, fingerprint
from .reference import ReferenceTrack, encode_portrait
from .request import PromptChange, check_request, warn_about_request


@torch.no_grad()
def build_avatar(
    plan: RenderPlan,
    audio: SampleReader,
    networks: Residency,
    *,
    memo: EncodingMemo | None = None,
    events: RenderEvents = NO_EVENTS,
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

    Returns:
        The avatar, ready for :func:`run_session`.

    Raises:
        InvalidInputError: If the request does not fit the model.
    """
    request, config = plan.request, plan.checkpoint.config
    check_request(request, config)
    warn_about_request(request, config, plan.audio.duration_s)
    memo = memo or EncodingMemo()
    image = plan.fitted_image()
    contexts = _encode_prompts(plan, networks, memo)
    tokens = _encode_image(plan, image, networks, memo)
    with networks.acquire(VideoVAE) as vae:
        portrait = encode_portrait(vae, tokens, image, plan.chunk.num_frames)
    frames = start_frames(request.prompt_changes, plan.chunk)
    timesteps = model_timesteps(request.sampling.steps, request.sampling.shift)
    references = ReferenceTrack(networks, portrait, contexts, frames, timesteps)
    references.at(chunk_span(0, plan.chunk))  # reads the transformer now, not within a chunk
    return TalkingAvatar(
        model=ChunkModel(networks, plan.chunk, plan.num_decode_latents),
        references=references,
        audio=audio,
        sampling=request.sampling,
        audio_window=config.dit.audio_window,
        fingerprint=plan.fingerprint(),
        events=events,
    )


def start_frames(changes: Sequence[PromptChange], chunk: ChunkConfig) -> list[int]:
    """Return the frame at which the first prompt and each later one begins."""
    return [0, *(max(1, round(change.start_s * chunk.frame_rate_hz)) for change in changes)]


def _encode_prompts(plan: RenderPlan, networks: Residency, memo: EncodingMemo) -> list[Tensor]:
    request, tokenizer = plan.request, plan.checkpoint.tokenizer
    if request.context is not None:
        return [request.context]
    assert tokenizer is not None, "without a text encoder the prompt must be encoded"
    prompts = [request.prompt, *(change.prompt for change in request.prompt_changes)]
    keys = [fingerprint(prompt=prompt) for prompt in prompts]
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
    key = fingerprint(image=image)
    stored = memo.find(key)
    if stored is not None:
        return stored
    with networks.acquire(ClipVision) as clip:
        tokens: Tensor = clip(image[None].to(next(clip.parameters()).device))
    networks.release(ClipVision)
    return memo.store(key, tokens)
