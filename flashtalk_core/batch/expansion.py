"""Folders and wildcards in a row: one row for each file, pairs by the stems of their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.speakers.text import UNUSED_AUDIO, read_speakers
from ..errors import InvalidInputError, require
from ..excerpt import excerpt, reason, shown_path
from ..files.paths import entries, is_file, is_folder, user_path
from .row_options import lines_of, whole_path

_MAGIC = re.compile(r"[*?\[]")
_IMAGES = "avif bmp dds gif ico jp2 jpeg jpg pcx png ppm psd tga tif tiff webp"
_SOUNDS = (
    "aac ac3 aif aiff amr ape au caf dts eac3 flac m4a mp3 oga ogg opus tta voc w64 wav wma wv"
)
SUFFIXES = {"image": frozenset(_IMAGES.split()), "audio": frozenset(_SOUNDS.split())}
"""Files of a folder that are taken; a wildcard takes whatever it matches.

Videos are left out: those that a batch writes would be the speech of its next run."""


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """A row with one image and one recording of speech."""

    number: str
    """That of the row in the manifest; of several that came of one row, ``3.2``."""
    values: Mapping[str, Any]
    image: Path
    audio: Path
    """That of the first speaker where each has their own."""
    default_output: str
    """Template of the name of its video where the row has none."""
    notes: tuple[str, ...] = ()
    """What of the row has no effect."""


def expand(number: int, values: Mapping[str, Any], folder: Path) -> list[FileRow]:
    """Return a row for each video that a row of a manifest asks for.

    Args:
        number: Of the row.
        values: What it says; ``image`` and ``audio`` are a file, a folder or a wildcard each.
        folder: Of the manifest, which relative names are below.

    Raises:
        InvalidInputError: If one of the two is missing or finds nothing, or both are several
            files that are no pairs. Audio that nobody speaks is not looked for.
    """
    images, own = _files(values, "image", folder), _own_audio(values, folder)
    audios = _files(values, "audio", folder) if own is None else [own]
    notes = []
    if own is not None and values.get("audio") is not None:
        notes.append(f"audio {shown_path(str(values['audio']))}: {UNUSED_AUDIO}")
    if len(images) > 1 and len(audios) > 1:
        pairs = _pairs(images, audios)
    else:
        pairs = [(image, audio) for image in images for audio in audios]
    # One recording under several portraits: its name alone would be that of all videos.
    default = "{image}_{audio}.mp4" if len(images) > len(audios) else "{audio}.mp4"
    return [
        FileRow(
            number=f"{number}.{index}" if len(pairs) > 1 else str(number),
            values=values,
            image=image,
            audio=audio,
            default_output=default,
            notes=tuple(notes),
        )
        for index, (image, audio) in enumerate(pairs, 1)
    ]


def _own_audio(values: Mapping[str, Any], folder: Path) -> Path | None:
    """Return the audio of the first speaker, ``None`` unless each has their own."""
    given = [str(each) for each in lines_of(values.get("speaker") or ())]
    speakers = read_speakers(given, "", place=lambda text: whole_path(text, folder))
    return Path(str(speakers[0].audio)) if all(each.audio for each in speakers) else None


def _files(values: Mapping[str, Any], kind: str, folder: Path) -> list[Path]:
    """Return the files that a cell names, in order of their names."""
    text = values.get(kind)
    require(
        text is not None,
        f"{kind}: the row has none; name a file in it, or use --{kind} for all rows",
        subject=kind,
    )
    require(isinstance(text, str), f"{kind} {excerpt(text)}: no name of a file", subject=kind)
    wanted = user_path(str(text), kind)
    path = folder / wanted
    if is_folder(path):
        found = [each for each in entries(path) if each.suffix.lower()[1:] in SUFFIXES[kind]]
        where = f"{kind} {shown_path(str(text))}: no {kind} files in this folder"
    elif is_file(path) or not _MAGIC.search(str(text)):
        return [path]  # one that is missing is reported where it is opened
    else:
        found = _matches(folder, wanted, f"{kind} {shown_path(str(text))}")
        where = f"{kind} {shown_path(str(text))}: no file matches"
    found = [each for each in found if is_file(each) and not each.name.startswith(".")]
    require(bool(found), f"{where}; check the path", subject=kind)
    return found


def _matches(folder: Path, wanted: Path, shown: str) -> list[Path]:
    """Return what matches a path with wildcards, in order of names.

    Folders are searched by the part that the user wrote, from its first wildcard on: the folder
    of the manifest, and a folder that is called so, may have brackets in their names.
    """
    base, parts = folder, list(wanted.parts)
    while len(parts) > 1 and (not _MAGIC.search(parts[0]) or is_folder(base / parts[0])):
        base /= parts.pop(0)
    try:
        return sorted(base.glob(str(Path(*parts))))
    except (OSError, ValueError, NotImplementedError) as error:
        raise InvalidInputError(
            f"{shown}: {reason(error)}; use *, ? and [] for names, ** for folders"
        ) from error


def _pairs(images: list[Path], audios: list[Path]) -> list[tuple[Path, Path]]:
    """Return each recording with the image of the same stem."""
    by_stem = {image.stem: image for image in images}
    alone = [audio for audio in audios if audio.stem not in by_stem]
    alone += [image for image in images if image.stem not in {audio.stem for audio in audios}]
    is_clear = len(by_stem) == len(images) and len({audio.stem for audio in audios}) == len(audios)
    if alone or not is_clear:
        example = f"{alone[0].name!r} has no partner" if alone else "a stem is there twice"
        raise InvalidInputError(
            f"{len(images)} images and {len(audios)} recordings: {example}; name pairs alike, such "
            "as anna.png and anna.wav, or use a single image or a single recording in the row: "
            "every image with every recording is not rendered",
            subject="image",
        )
    return [(by_stem[audio.stem], audio) for audio in audios]
