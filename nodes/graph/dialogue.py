"""The speech of two, from that of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ...flashtalk_core.engine.speakers.planning import check_speakers
from ...flashtalk_core.engine.speakers.text import read_speakers
from ...flashtalk_core.errors import about, require
from ...flashtalk_core.media.masks import check_painted
from ..host.media import mask_of
from .descriptions import Dialogue

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ...flashtalk_core.config.avatar import SpeakerRouting
    from ...flashtalk_core.media.audio.info import AudioInfo
    from .descriptions import SpeechDescription


def describe_dialogue(
    speeches: tuple[SpeechDescription, SpeechDescription | None],
    *,
    places: Sequence[str],
    starts_s: Sequence[float],
    turns: str,
    routing: str | None,
    masks: tuple[Tensor | None, Tensor | None],
) -> SpeechDescription:
    """Return the speech of two.

    Args:
        speeches: Of each; without the second both share the first.
        places: Where each is, unless there are masks.
        starts_s: When the audio of each begins in the video, seconds.
        turns: Timeline; see :func:`.parse_turns`.
        routing: How they are told apart; ``None`` is the model's.
        masks: MASK of each, ``(1, H, W)``; both or none.

    Raises:
        InvalidInputError: If something is missing, or they do not go together.
    """
    first, second = speeches
    require(
        first.dialogue is None and (second is None or second.dialogue is None),
        "speakers 3 or more: this speech is of two already; two talk in a render, connect Audio "
        "Encode",
        subject="speech",
    )
    require(
        second is not None or bool(turns.strip()),
        "speech_2: nothing is connected, and no turns say who is heard when; connect the second "
        "voice, or write turns such as '1: 0-3.5, 2: 3.5-6'",
        subject="speech_2",
    )
    if second is not None:
        _check_alike(first, second)
    require(
        (masks[0] is None) == (masks[1] is None),
        f"mask_{1 if masks[0] is None else 2}: nothing is connected; connect both masks, or none",
        subject="mask_1" if masks[0] is None else "mask_2",
    )
    speakers = read_speakers(places, "", starts_s, turns)
    found = tuple(
        _mask_of(mask, f"mask_{number}") for number, mask in enumerate(masks, 1) if mask is not None
    )
    speakers = tuple(
        replace(each, audio=None, mask=None if found else each.mask) for each in speakers
    )
    check_speakers(speakers, len(found))
    audio = (second or first).audio
    dialogue = Dialogue(audio, speakers, found, cast("SpeakerRouting | None", routing))
    return replace(first, soundtrack=_soundtrack_of(first, second), dialogue=dialogue)


def _mask_of(mask: Tensor, name: str) -> Image:
    """Return the mask of an input, which is painted somewhere; its size is checked later."""
    image = mask_of(mask, name)
    with about(name, instead_of="speakers"):
        check_painted(image, name)
    return image


def _soundtrack_of(first: SpeechDescription, second: SpeechDescription | None) -> AudioInfo | None:
    """Return what is heard in the video: the soundtrack of either, or of both if it is the same."""
    if second is None or second.soundtrack is None:
        return first.soundtrack
    require(
        first.soundtrack is None or first.soundtrack.source == second.soundtrack.source,
        "speech_2: both Audio Encode nodes have a soundtrack, and a video has one; connect it to "
        "one of them",
        subject="speech_2",
    )
    return second.soundtrack


def _check_alike(first: SpeechDescription, second: SpeechDescription) -> None:
    """Check that both Audio Encode nodes cut alike, as one part of the video is rendered."""
    one, other = (
        (each.start_s, each.duration_s or 0.0, each.audio.target_lufs) for each in (first, second)
    )
    require(
        one == other,
        "speech_2: start, duration and loudness {:g}, {:g}, {:g}, those of speech are {:g}, {:g}, "
        "{:g}; set them alike in both Audio Encode nodes, and use start_2 for when it "
        "begins".format(*other, *one),
        subject="speech_2",
    )
    require(
        first.mouth_strength == second.mouth_strength,
        f"speech_2: mouth_strength {second.mouth_strength:g}, that of speech is "
        f"{first.mouth_strength:g}, and one moves both mouths; set them alike in both Audio Encode "
        "nodes",
        subject="speech_2",
    )
