"""From checked files, a portrait and a prompt to an avatar that can talk."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

import torch
from PIL.Image import Image

from ..config import SamplingConfig
from ..geometry import check_size
from ..media.picture import FitMode, fit_picture, to_model_range
from ..models.text_encoder import encode_prompt
from ..weights.load import AvatarCheckpoint
from .avatar import SampleReader, TalkingAvatar, fingerprint
from .chunk import ChunkModel
from .reference import Reference, prepare_reference

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AvatarRequest:
    """What is asked for; everything in it can be checked before weights are read."""

    picture: Image
    """The portrait, RGB."""
    prompt: str
    size_px: tuple[int, int]
    """Height and width."""
    sampling: SamplingConfig
    fit: FitMode = "cover"

    def __post_init__(self) -> None:
        check_size(self.size_px)


def warn_about_size(checkpoint: AvatarCheckpoint, size_px: tuple[int, int]) -> None:
    """Log a warning if the weights are not known to work at ``size_px``."""
    config = checkpoint.config
    if size_px not in config.known_sizes_px:
        known = ", ".join(f"{h}x{w}" for h, w in config.known_sizes_px)
        logger.warning("size %dx%d: %s is known to work at %s only", *size_px, config.name, known)


@torch.no_grad()
def build_avatar(
    checkpoint: AvatarCheckpoint,
    request: AvatarRequest,
    sound: SampleReader,
    sound_name: object,
    device: torch.device,
    dtype: torch.dtype,
) -> TalkingAvatar:
    """Load the networks and prepare a session.

    The text encoder and the vision tower are gone again before the transformer is loaded: they
    run once, and together with it they would double the memory.

    Args:
        checkpoint: Checked files.
        request: Portrait, prompt and settings.
        sound: Analysed sound.
        sound_name: Anything that tells this sound from others, for the fingerprint.
        device: Where the networks run.
        dtype: Of their weights.

    Returns:
        The avatar, ready for :func:`run_session`.
    """
    config = checkpoint.config
    warn_about_size(checkpoint, request.size_px)
    picture = to_model_range(fit_picture(request.picture, request.size_px, request.fit))
    context = encode_prompt(
        checkpoint.load_text_encoder(device, dtype),
        checkpoint.tokenizer,
        request.prompt,
        config.dit.text_len,
    )
    tokens = checkpoint.load_clip(device, dtype)(picture[None].to(device))
    files = checkpoint.files
    used = (*files.dit, files.vae, files.text, files.clip, files.audio)
    vae, dit = checkpoint.load_vae(device, dtype), checkpoint.load_dit(device, dtype)
    reference: Reference = prepare_reference(
        dit=dit, vae=vae, clip_tokens=tokens, picture=picture, context=context, chunk=config.chunk
    )
    return TalkingAvatar(
        model=ChunkModel(dit, vae, config.chunk),
        audio_encoder=checkpoint.load_audio_encoder(device, dtype),
        reference=reference,
        sound=sound,
        sampling=request.sampling,
        fingerprint=fingerprint(
            picture,
            model=asdict(config),
            files=[(path.name, path.stat().st_size) for path in used],
            dtype=str(dtype),
            prompt=request.prompt,
            sampling=asdict(request.sampling),
            sound=sound_name,
        ),
    )
