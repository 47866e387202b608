"""Speakers of a spec, checked and measured: what is heard of each, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

from PIL.Image import Image
from torch import Tensor

from ...config.avatar import AvatarConfig, SpeakerRouting
from ...errors import InvalidInputError, about, require
from ...excerpt import excerpt
from ...geometry import token_grid
from ...media.audio.dialogue.periods import check_heard
from ...media.audio.dialogue.turns import check_place
from ...media.audio.dialogue.voices import (
    MixedAudio,
    PlacedAudio,
    is_same_source,
    place_audio,
    without_silence,
)
from ...media.audio.info import AudioInfo
from ...media.audio.probe import check_measured, probe_audio
from ...media.audio.source import AudioArray
from ...media.masks import Box, check_apart, check_mask, face_places, read_mask
from ...media.places import FACE
from ...models.transformer.regions import token_masks
from ..spec import RenderSpec, Speaker
from .planned import PlannedSpeaker

MAX_SPEAKERS = 2


def check_speakers(
    speakers: Sequence[Speaker],
    num_masks: int = 0,
    routing: str | None = None,
    fit: str = "cover",
) -> None:
    """Check what depends on the values alone.

    Args:
        speakers: Of a spec.
        num_masks: Masks that are given in memory, of the first speakers.
        routing: How two are told apart; ``None`` is the model's.
        fit: How the portrait is fitted.

    Raises:
        InvalidInputError: If there are too many, or one of two has no mask, or the only one has.
    """
    count = len(speakers)
    require(
        1 <= count <= MAX_SPEAKERS,
        f"speakers {count}: one or two talk in a render; name two at most, render the others "
        "separately",
        subject="speakers",
    )
    masks = [each.mask for each in speakers]
    given = max(num_masks, sum(mask is not None for mask in masks))
    require(
        count > 1 or not given,
        f"speaker mask {excerpt(masks[0] or 'in memory')!r}: a mask separates two speakers, and "
        "the render has one; leave it out, or name another speaker",
        subject="speakers",
    )
    known = get_args(SpeakerRouting)
    require(
        routing is None or routing in known,
        f"speaker routing {excerpt(routing)!r}: use one of {', '.join(known)}",
        subject="speaker_routing",
    )
    require(
        count > 1 or routing is None,
        f"speaker routing {excerpt(routing)!r}: it tells two speakers apart, and the render has "
        "one; leave it out, or name another speaker",
        subject="speaker_routing",
    )
    require(
        count == 1 or fit != "face",
        f"fit {fit!r} with two speakers: it frames one face; use 'cover' or 'pad'",
        subject="fit",
    )
    for number, each in enumerate(speakers, 1):
        check_place(each.offset_s, each.turns, f"speaker {number}")
        require(
            count == 1 or each.mask is not None or number <= num_masks,
            f"speaker {number}: no mask says where they are; use 'left', 'right', a box "
            "X,Y,WIDTH,HEIGHT or an image with white where they are",
            subject="speakers",
        )
        require(
            count > 1 or not each.turns,
            f"speaker 1: {len(each.turns)} turn(s) with one speaker, who is always heard; leave "
            "them out",
            subject="speakers",
        )


def plan_speakers(
    spec: RenderSpec,
    audio_inputs: Sequence[AudioArray | AudioInfo],
    masks: Sequence[Image],
    image: Image,
    find_faces: Callable[[], Sequence[Box]],
) -> tuple[tuple[PlannedSpeaker, ...], AudioInfo | None]:
    """Measure the speakers of a spec.

    Args:
        spec: Checked by :func:`check_speakers`.
        audio_inputs: Audio in memory, of the first speakers.
        masks: Masks in memory, likewise.
        image: The portrait.
        find_faces: Finds the faces in it, from left to right, where a mask is ``face``.

    Returns:
        The speakers, and the sound of the video where it is not that of one speaker.

    Raises:
        InvalidInputError: If audio or a mask cannot be used.
    """
    with about("speakers"):
        # Masks first: they are quicker to look at than hours of audio.
        places = (
            _read_masks(spec.speakers, masks, image, find_faces)
            if len(spec.speakers) > 1
            else [None]
        )
        audio = _measure(spec, audio_inputs)
        if len(audio) == 1 and not spec.speakers[0].offset_s:
            return (PlannedSpeaker(audio[0]),), None
        if len(audio) > 1:
            _check_voices(spec.speakers, audio)
        offsets, turns = zip(*((each.offset_s, each.turns) for each in spec.speakers), strict=True)
        placed = place_audio(audio, offsets, turns)
        check_heard([each.period for each in placed])
        planned = tuple(
            PlannedSpeaker(voice.info(), mask) for voice, mask in zip(placed, places, strict=True)
        )
        return planned, sound_of(placed) if len(placed) > 1 else None


def check_cells(masks: Tensor | None, config: AvatarConfig) -> None:
    """Check that there is a token for each speaker.

    Args:
        masks: ``(3, H, W)``; ``None`` with one speaker.
        config: Of the model.

    Raises:
        InvalidInputError: If a mask is cut off with the image's sides, or too small.
    """
    if masks is None:
        return
    height, width = masks.shape[1:]
    stride = config.vae.spatial_stride
    grid = token_grid((1, height // stride, width // stride), config.dit)
    cells = token_masks(masks, grid)
    for number, row in enumerate(cells[:MAX_SPEAKERS], 1):
        require(
            bool(row.any()),
            f"speaker {number}'s mask: in a video of {height}x{width} it covers none of "
            f"{row.numel()} cells of {height // grid[1]} pixels; make it larger, or use fit 'pad' "
            "if the sides of the portrait are cut off",
            subject="speakers",
        )


def _read_masks(
    speakers: Sequence[Speaker],
    masks: Sequence[Image],
    image: Image,
    find_faces: Callable[[], Sequence[Box]],
) -> list[Image | None]:
    found: list[Image] = []
    given = [each.mask for each in speakers]
    faces = face_places(find_faces(), image.size) if FACE in given[len(masks) :] else ()
    for number, speaker in enumerate(speakers, 1):
        if number <= len(masks):
            found.append(check_mask(masks[number - 1], image, f"speaker {number}'s mask"))
        else:
            assert speaker.mask is not None, "checked before"
            place = faces[number - 1] if speaker.mask == FACE else speaker.mask
            found.append(read_mask(place, image, f"speaker {number}"))
    check_apart(found)
    return list(found)


def _measure(spec: RenderSpec, audio_inputs: Sequence[AudioArray | AudioInfo]) -> list[AudioInfo]:
    found: list[AudioInfo] = []
    for index, speaker in enumerate(spec.speakers):
        source = audio_inputs[index] if index < len(audio_inputs) else speaker.audio
        if source is None:
            raise InvalidInputError(f"speaker {index + 1}: no audio is given; name an audio file")
        part = spec.start_s, spec.duration_s
        if isinstance(source, AudioInfo):
            check_measured(source, *part, target_lufs=spec.loudness_lufs)
        else:
            source = probe_audio(source, *part, target_lufs=spec.loudness_lufs)
        found.append(source)
    return found


def _check_voices(speakers: Sequence[Speaker], audio: Sequence[AudioInfo]) -> None:
    """Check that two speakers do not say the same at the same time, nor divide what is moved."""
    (one, other), (first, second) = audio, speakers
    require(
        not is_same_source(one, other)
        or first.turns != second.turns
        or first.offset_s != second.offset_s,
        f"audio {one.source}: both speakers have it, so both would say the same; give each audio "
        "of their own, or the turns of each in it",
        subject="speakers",
    )
    # The video has the whole of a recording that is divided, and so it cannot begin twice.
    require(
        not is_same_source(one, other)
        or first.offset_s == second.offset_s
        or not (first.turns or second.turns),
        f"speaker starts {first.offset_s:g} {second.offset_s:g}: both speakers take turns in "
        f"{one.source}, which the video keeps whole; leave the starts out, or give each audio of "
        "their own",
        subject="speakers",
    )


def sound_of(voices: Sequence[PlacedAudio]) -> AudioInfo:
    """Measure the sound of a video.

    Speakers that take turns in one recording share it, and the video has all of it.

    Raises:
        InvalidInputError: See :func:`.probe_audio`.
    """
    first, *others = voices
    starts = {each.offset_samples for each in voices}
    if len(starts) == 1 and all(is_same_source(first.audio, each.audio) for each in others):
        is_whole = first.num_samples == first.audio.num_samples
        return first.audio if is_whole else replace(first, turns=()).info()
    mix, near = MixedAudio(tuple(voices)), without_silence(voices)
    found = probe_audio(MixedAudio(near), target_lufs=first.audio.target_lufs)
    if near == mix.voices:
        return found
    # Marks of other samples prove nothing; those of each voice remain.
    return replace(found, source=mix, num_samples=mix.num_samples, marks=())
