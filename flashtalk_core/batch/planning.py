"""From a manifest to rows: files found, names filled in, options read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..engine.spec import RenderSpec
from ..errors import FlashTalkError, InvalidInputError
from ..excerpt import shown_path
from ..files.paths import user_path
from .expansion import FileRow, expand
from .manifest import ManifestRow
from .outputs import fill_name
from .rows import BatchRow, FaultyRow

ReadRow = Callable[[Mapping[str, Any]], tuple[RenderSpec, int]]
"""Makes a spec and the H.264 quality of the options of a row.

It gets the values of the row with one image and one recording; it raises
:class:`FlashTalkError` if one of them cannot be used.
"""


@dataclass(frozen=True, kw_only=True)
class RowFolders:
    """Where names of a manifest are looked for."""

    manifest: Path
    """Folder of images and audio."""
    output: Path
    """Folder of videos."""


def plan_rows(
    rows: list[ManifestRow],
    read: ReadRow,
    folders: RowFolders,
    defaults: Mapping[str, Any],
) -> list[BatchRow | FaultyRow]:
    """Return each video that a manifest asks for; two that are one file are refused.

    Args:
        rows: The manifest.
        read: Makes the spec of a row.
        folders: What relative names are relative to.
        defaults: ``image``, ``audio`` and ``output`` of rows that have none of their own.
    """
    planned: list[BatchRow | FaultyRow] = []
    for row in rows:
        if row.error is not None:
            planned.append(FaultyRow(str(row.number), row.error))
            continue
        try:
            files = expand(row.number, {**defaults, **row.values}, folders.manifest)
        except FlashTalkError as error:
            planned.append(FaultyRow(str(row.number), error))
            continue
        planned += (_plan(each, read, folders) for each in files)
    return _refuse_twice(planned)


def _plan(row: FileRow, read: ReadRow, folders: RowFolders) -> BatchRow | FaultyRow:
    found = FaultyRow(row.number, FlashTalkError(), image=row.image, audio=row.audio)
    try:
        fields = {
            "row": row.number,
            "image": row.image.stem,
            "audio": row.audio.stem,
            "seed": row.values.get("seed"),
        }
        name = fill_name(str(row.values.get("output") or row.default_output), fields)
        found = replace(found, output=folders.output / user_path(name, "output"))
        files = {"image": str(row.image), "audio": str(row.audio)}
        spec, crf = read({**row.values, **files})
    except FlashTalkError as error:
        return replace(found, error=error)
    assert found.output is not None
    return BatchRow(
        number=row.number,
        image=row.image,
        audio=row.audio,
        output=found.output,
        spec=spec,
        crf=crf,
        given=frozenset(row.values),
        notes=row.notes,
    )


def _refuse_twice(rows: list[BatchRow | FaultyRow]) -> list[BatchRow | FaultyRow]:
    """Refuse every row whose video is that of an earlier one."""
    first: dict[str, str] = {}
    checked: list[BatchRow | FaultyRow] = []
    for row in rows:
        if isinstance(row, FaultyRow):
            checked.append(row)
            continue
        # Disks may not distinguish letters.
        other = first.setdefault(os.path.normpath(row.output.absolute()).lower(), row.number)
        if other == row.number:
            checked.append(row)
            continue
        error = InvalidInputError(
            f"output {shown_path(row.output)}: row {other} writes it, too; give each an output, or "
            "use {row}, {image}, {audio} or {seed} in it",
            subject="output",
        )
        # Without the output: what is known of that video is of the other row.
        checked.append(FaultyRow(row.number, error, None, row.image, row.audio))
    return checked
