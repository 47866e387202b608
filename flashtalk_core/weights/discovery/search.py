"""Search for the files of one part of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ...errors import WeightsError
from ...files.paths import entries, is_file, is_folder
from ..formats.suffixes import SAFETENSORS
from .parts import AUDIO_FOLDER, AUDIO_FOLDER_FILES, DEEP_AUDIO_FOLDER, PARTS, Part
from .shards import with_all_shards
from .similar import describe_similar

_LEVELS = 2
"""Of sub-folders in which names that say enough are looked for."""


@dataclass(frozen=True)
class Search:
    """Where one part is searched."""

    part: Part
    roots: tuple[Path, ...]
    """Folders that are searched, as given."""
    below: tuple[str, ...]
    """Folders below each that are searched too, as shell patterns."""
    is_part_folder: bool
    """Whether the roots are folders for this kind of part. Then ``below`` is searched first, and
    sub-folders of the roots are too; else those of ``below``."""
    audio_roots: tuple[Path, ...] = ()
    """Additional folders in which a folder of the audio encoder is looked for."""
    more: tuple[str, ...] = ()
    """Names that are looked for when there is none of the usual ones, as shell patterns."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder in which a file of any usual name is looked for, in this order."""
        found: list[Path] = []
        for root in self.roots:
            below = self._below(root)
            found += [*below, root] if self.is_part_folder else [root, *below]
        return tuple(found)

    @property
    def sub_folders(self) -> tuple[Path, ...]:
        """Folders in which a file is looked for whose name can be nothing else's."""
        if self.is_part_folder:
            # What holds another of them is the folder of a whole model.
            holders = {root.parent for root in self.roots}
            tops = [root for root in self.roots if root not in holders]
        else:
            tops = [folder for root in self.roots for folder in self._below(root)]
        known = set(self.folders)
        return tuple(path for top in tops for path in _inside(top, _LEVELS) if path not in known)

    def run(self) -> tuple[Path, ...]:
        """Return the files of the part: one, or all shards.

        Raises:
            WeightsError: If there is none, or if a shard is missing.
        """
        first = self.first()
        if first is None:
            raise WeightsError(self.missing())
        return with_all_shards(first) if self.part == "dit" else (first,)

    def first(self) -> Path | None:
        """Return the file of the part, or any shard of it; ``None`` if there is none."""
        return next(self._candidates(), None)

    def _below(self, root: Path) -> list[Path]:
        return [folder for pattern in self.below for folder in _sub_folders(root, pattern)]

    def _candidates(self) -> Iterator[Path]:
        """Yield matches, those of a more specific name first."""
        names, folders, deep = PARTS[self.part], self.folders, self.sub_folders
        for pattern in (*names.patterns, *self.more):
            for folder in folders if pattern in names.generic else (*folders, *deep):
                yield from matching_files(folder, pattern)
        if self.part == "audio":
            yield from self._library_folders(deep)

    def _library_folders(self, deep: Sequence[Path]) -> Iterator[Path]:
        tops = (*self.folders, *self.audio_roots)
        for pattern, parents in ((DEEP_AUDIO_FOLDER, (*tops, *deep)), (AUDIO_FOLDER, tops)):
            for parent in parents:
                for folder in _sub_folders(parent, pattern):
                    yield from library_files(folder)

    def missing(self) -> str:
        """Return what was looked for in vain, where, and where it is published."""
        names = PARTS[self.part]
        wanted = " or ".join((*names.patterns, *self.more))
        if self.below:
            wanted += f", there and in {', '.join(f'{folder}/' for folder in self.below)}"
        if set(names.patterns) > set(names.generic):
            wanted += ", and in sub-folders"
        if self.part == "audio":
            inside = "inside or next to it" if self.audio_roots else "there"
            wanted += f", and for a folder {AUDIO_FOLDER}/ {inside} with "
            wanted += " or ".join(AUDIO_FOLDER_FILES)
        where = ", ".join(map(str, self.roots)) or "any folder (none is known for it)"
        similar = describe_similar(self.roots, self.part)
        nearby = f"{similar}; or " if similar else ""
        return (
            f"{names.title} not found in {where}: looked for {wanted}; "
            f"{nearby}download it from {names.published}"
        )


def in_model_folder(folder: Path, part: Part, more: tuple[str, ...] = ()) -> Search:
    """Look for ``part`` in a folder that holds the whole model, in either layout."""
    audio_roots = (folder.absolute().parent,) if part == "audio" else ()
    return Search(
        part,
        (folder,),
        PARTS[part].folders,
        is_part_folder=False,
        audio_roots=audio_roots,
        more=more,
    )


def in_part_folders(folders: Sequence[Path], part: Part, more: tuple[str, ...] = ()) -> Search:
    """Look for ``part`` in folders for parts of its kind, which hold other models' too."""
    roots = tuple(dict.fromkeys(folders))
    return Search(part, roots, PARTS[part].own_folders, is_part_folder=True, more=more)


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """Return files of ``folder`` whose name matches, without case, in order of name."""
    wanted = pattern.lower()
    return [p for p in entries(folder) if fnmatch(usual_name(p), wanted) and is_file(p)]


def usual_name(path: Path) -> str:
    """Return the name of ``path`` in lower case, with the longer ending of safetensors."""
    suffix = path.suffix.lower()
    stem = path.name[: len(path.name) - len(suffix)].lower()
    return stem + (SAFETENSORS[0] if suffix in SAFETENSORS else suffix)


def library_files(folder: Path) -> list[Path]:
    """Return weights in ``folder`` if it is an audio encoder's in the library's own layout."""
    return [folder / name for name in AUDIO_FOLDER_FILES if is_file(folder / name)]


def _sub_folders(folder: Path, pattern: str) -> list[Path]:
    """Return folders below ``folder`` that match ``pattern``, compared without case."""
    found = [folder]
    for step in pattern.lower().split("/"):
        children = [child for parent in found for child in entries(parent)]
        found = [c for c in children if fnmatch(c.name.lower(), step) and is_folder(c)]
    return found


def _inside(folder: Path, levels: int) -> Iterator[Path]:
    """Yield folders up to ``levels`` below ``folder``; hidden ones are caches of downloads."""
    for child in entries(folder) if levels else ():
        if not child.name.startswith(".") and is_folder(child):
            yield child
            yield from _inside(child, levels - 1)
