"""Search for the files of one part of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ...errors import WeightsError
from ...files.paths import entries, is_file, is_folder
from .parts import AUDIO_FOLDER, AUDIO_FOLDER_FILES, PARTS, Part
from .shards import with_all_shards
from .similar import describe_similar


@dataclass(frozen=True)
class Search:
    """Where one part is searched."""

    part: Part
    roots: tuple[Path, ...]
    """Folders that are searched, as given."""
    below: tuple[str, ...]
    """Folders below each that are searched too, as shell patterns."""
    is_below_first: bool
    """Whether those are searched before the folder itself."""
    audio_roots: tuple[Path, ...] = ()
    """Additional folders in which a folder of the audio encoder is looked for."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder in which a file is looked for, in this order."""
        found: list[Path] = []
        for root in self.roots:
            below = [sub for pattern in self.below for sub in _subfolders(root, pattern)]
            found += [*below, root] if self.is_below_first else [root, *below]
        return tuple(found)

    def run(self) -> tuple[Path, ...]:
        """Return the files of the part: one, or all shards.

        Raises:
            WeightsError: If there is none, or if a shard is missing.
        """
        first = next(self._candidates(), None)
        if first is None:
            raise self._missing()
        return with_all_shards(first) if self.part == "dit" else (first,)

    def _candidates(self) -> Iterator[Path]:
        """Yield matches, those of a more specific name first."""
        folders = self.folders
        for pattern in PARTS[self.part].patterns:
            for folder in folders:
                yield from matching_files(folder, pattern)
        if self.part == "audio":
            for parent in (*folders, *self.audio_roots):
                for folder in _subfolders(parent, AUDIO_FOLDER):
                    yield from library_files(folder)

    def _missing(self) -> WeightsError:
        """Return the error for a part that was not found."""
        names = PARTS[self.part]
        wanted = " or ".join(names.patterns)
        if self.below:
            wanted += f", there and in {', '.join(f'{folder}/' for folder in self.below)}"
        if self.part == "audio":
            inside = "inside or next to it" if self.audio_roots else "there"
            wanted += f", and for a folder {AUDIO_FOLDER}/ {inside} with "
            wanted += " or ".join(AUDIO_FOLDER_FILES)
        where = ", ".join(map(str, self.roots)) or "any folder (none is known for it)"
        similar = describe_similar(self.roots, self.part)
        nearby = f"{similar}; or " if similar else ""
        return WeightsError(
            f"{names.title} not found in {where}: looked for {wanted}; "
            f"{nearby}download it from {names.published}"
        )


def in_model_folder(folder: Path, part: Part) -> Search:
    """Look for ``part`` in a folder that holds the whole model, in either layout."""
    audio_roots = (folder.absolute().parent,) if part == "audio" else ()
    return Search(
        part, (folder,), PARTS[part].folders, is_below_first=False, audio_roots=audio_roots
    )


def in_part_folders(folders: Sequence[Path], part: Part) -> Search:
    """Look for ``part`` in folders for parts of its kind, which hold other models' too."""
    roots = tuple(dict.fromkeys(folders))
    return Search(part, roots, PARTS[part].own_folders, is_below_first=True)


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """Return files of ``folder`` whose name matches, without case, in order of name."""
    wanted = pattern.lower()
    return [p for p in entries(folder) if fnmatch(p.name.lower(), wanted) and is_file(p)]


def library_files(folder: Path) -> list[Path]:
    """Return weights in ``folder`` if it is an audio encoder's in the library's own layout."""
    return [folder / name for name in AUDIO_FOLDER_FILES if is_file(folder / name)]


def _subfolders(folder: Path, pattern: str) -> list[Path]:
    """Return folders below ``folder`` that match ``pattern``, compared without case."""
    found = [folder]
    for step in pattern.lower().split("/"):
        children = [child for parent in found for child in entries(parent)]
        found = [c for c in children if fnmatch(c.name.lower(), step) and is_folder(c)]
    return found
