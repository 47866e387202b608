"""The request for a video; all of it can be checked before weights are read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL.Image import Image
from torch import Tensor

from ..config.avatar import AvatarConfig, FitMode
from ..config.chunk import ChunkConfig
from ..config.sampling import SamplingConfig
from ..errors import about, require
from ..excerpt import excerpt, is_text, printable
from ..geometry import check_size
from ..log import printable_log
from ..media.audio.source import MAX_TIME_S
from ..media.image.faces.framing import FacePick

logger = printable_log(logging.getLogger(__name__))


@dataclass(frozen=True)
class PromptChange:
    """Another prompt from a given time on."""

    start_s: float
    """When it begins, seconds from the start of the video; the nearest border of two chunks."""
    prompt: str

    def __repr__(self) -> str:
        return f"PromptChange({self.start_s:g} s: {excerpt(self.prompt)!r})"

    def __post_init__(self) -> None:
        require(
            0 < self.start_s <= MAX_TIME_S,
            f"prompt change at {self.start_s} s: use a second after 0, up to {MAX_TIME_S}; "
            "the prompt itself is used from the start",
            subject="prompt_changes",
        )
        with about("prompt_changes"):
            check_prompt(f"prompt change at {self.start_s:g} s", self.prompt)


def check_prompt(what: str, prompt: str) -> None:
    """Raise :class:`InvalidInputError` unless ``prompt`` is text; ``what`` begins the message."""
    require(
        is_text(prompt),
        f"{what}: '{excerpt(printable(prompt))}' holds bytes or halves of characters that are no "
        "text; type it again, in UTF-8",
    )


def check_order(changes: Sequence[PromptChange]) -> None:
    """Raise :class:`InvalidInputError` unless each change is later than the one before."""
    for before, after in pairwise(changes):
        require(
            before.start_s < after.start_s,
            f"prompt change at {after.start_s:g} s: it follows one at {before.start_s:g} s; "
            "list them in order of time, each once",
            subject="prompt_changes",
        )


def check_changes(changes: Sequence[PromptChange], context: Tensor | None) -> None:
    """Raise :class:`InvalidInputError` if ``changes`` cannot follow a first prompt.

    Args:
        changes: Later prompts.
        context: The first prompt if it comes encoded, else ``None``.
    """
    check_order(changes)
    require(
        context is None or not changes,
        f"prompt changes ({len(changes)}): the prompt comes encoded from elsewhere and stays as "
        "it is; give it as text, or leave the changes out",
        subject="prompt_changes",
    )


def check_decode_latents(count: int) -> None:
    """Raise :class:`InvalidInputError` unless ``count`` latent frames can be decoded at once."""
    require(
        count >= 1,
        f"latent frames decoded at once {count}: use 1 or more",
        subject="decode_latents",
    )


@dataclass(frozen=True, kw_only=True)
class AvatarRequest:
    """A portrait, a prompt, and how to generate the video."""

    image: Image
    """The portrait, RGB."""
    prompt: str
    size_px: tuple[int, int]
    """Height and width."""
    sampling: SamplingConfig
    fit: FitMode = "cover"
    """``cover`` too where ``image`` is the part around a face."""
    face: FacePick | None = None
    """How ``image`` was cut out of the portrait; nothing that is drawn depends on it."""
    prompt_changes: tuple[PromptChange, ...] = ()
    """Later prompts, in order of time."""
    context: Tensor | None = None
    """The prompt if it comes encoded, ``(n, text_dim)``; ``None`` encodes ``prompt``."""
    clip_tokens: Tensor | None = None
    """The image's tokens if they come encoded, ``(1, clip_tokens, clip_dim)``; ``None`` encodes
    ``image``."""
    chunk: ChunkConfig | None = None
    """Arithmetic of a chunk; ``None`` is the model's."""
    num_decode_latents: int = 1
    """Latent frames that are decoded at once."""

    def __repr__(self) -> str:
        height, width = self.size_px
        encoded = "encoded" if self.context is not None else repr(excerpt(self.prompt))
        changes = f", {len(self.prompt_changes)} prompt change(s)" if self.prompt_changes else ""
        return f"AvatarRequest({width}x{height}, {self.fit}, prompt {encoded}{changes})"

    def __post_init__(self) -> None:
        check_size(self.size_px)
        with about("prompt"):
            check_prompt("prompt", self.prompt)
        check_changes(self.prompt_changes, self.context)
        check_decode_latents(self.num_decode_latents)

    def chunk_of(self, config: AvatarConfig) -> ChunkConfig:
        """Return the arithmetic of a chunk for the model ``config``."""
        return self.chunk or config.chunk


def check_request(request: AvatarRequest, config: AvatarConfig) -> None:
    """Check a request against its model.

    Raises:
        InvalidInputError: If a prompt or an image encoded elsewhere has another shape than
            this model takes.
    """
    dit = config.dit
    if request.context is not None:
        length, width = request.context.shape
        require(
            width == dit.text_dim and 1 <= length <= dit.text_len,
            f"encoded prompt of {length} tokens, {width} wide: {config.name} takes 1 to "
            f"{dit.text_len}, {dit.text_dim} wide; encode it with the model's text encoder (umT5)",
            subject="context",
        )
    if request.clip_tokens is not None:
        count, width = request.clip_tokens.shape[1:]
        require(
            (count, width) == (dit.clip_tokens, dit.clip_dim),
            f"encoded image of {count} tokens, {width} wide: {config.name} takes "
            f"{dit.clip_tokens}, {dit.clip_dim} wide; use the model's vision tower (CLIP ViT-H)",
            subject="clip_tokens",
        )


def request_notes(
    request: AvatarRequest,
    config: AvatarConfig,
    duration_s: float | None = None,
    *,
    is_training_known: bool = True,
) -> list[str]:
    """Return what is possible but not known to work, or without effect, a sentence each.

    Args:
        request: The request.
        config: Of its model.
        duration_s: Length of the audio in seconds; ``None`` where it is not known.
        is_training_known: Whether ``config`` has what the model was trained with.
    """
    notes = []
    if request.size_px not in config.known_sizes_px:
        known = ", ".join(f"{h}x{w}" for h, w in config.known_sizes_px)
        height, width = request.size_px
        notes.append(f"size {height}x{width}: {config.name} is known to work at {known} only")
    if request.face is not None:
        notes += request.face.notes()
    notes += _training_notes(request, config) if is_training_known else _rule_notes(request)
    notes += (
        f"prompt change at {change.start_s:g} s: the audio lasts {duration_s:.2f} s, so it is "
        "never reached"
        for change in request.prompt_changes
        if duration_s is not None and change.start_s >= duration_s
    )
    return notes


def _training_notes(request: AvatarRequest, config: AvatarConfig) -> list[str]:
    """Return in what a request differs from the model's training and use."""
    notes, shift = [], request.sampling.shift
    chunk, trained = request.chunk_of(config), config.chunk
    frames, motion = chunk.num_frames, chunk.num_motion_frames
    if (frames, motion) != (trained.num_frames, trained.num_motion_frames):
        notes.append(
            f"chunks of {frames} frames, {motion} of them motion frames: {config.name} was "
            f"trained with {trained.num_frames} and {trained.num_motion_frames}"
        )
    if shift != config.sampling.shift:
        notes.append(f"shift {shift:g}: {config.name}'s own is {config.sampling.shift:g}")
    return notes


def _rule_notes(request: AvatarRequest) -> list[str]:
    """Return what has to be set for a model whose training is not known."""
    if request.sampling.rule != "renoise":
        return []
    return [
        "rule renoise: the model's loader does not tell its file, so whether this is its rule is "
        "not known; renoise is for FlashTalk's weights, InfiniteTalk's need rule 'euler'"
    ]


def warn_about_request(
    request: AvatarRequest,
    config: AvatarConfig,
    duration_s: float | None = None,
    *,
    is_training_known: bool = True,
) -> None:
    """Log the notes of :func:`request_notes`."""
    for note in request_notes(request, config, duration_s, is_training_known=is_training_known):
        logger.warning("%s", note)
