"""Where the videos of a batch go."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISDIR

from ..errors import FlashTalkError, InvalidInputError, OutputError, require
from ..excerpt import excerpt, reason, shown_path
from ..files.output_lock import lock_output
from ..files.output_path import (
    OLDER_START,
    OutputPath,
    check_name,
    check_output,
    check_replaceable,
    check_spared,
    check_suffix,
    output_target,
    unwritable,
)
from ..files.paths import entries

_FIELD = re.compile(r"\{([^{}]*)\}")


def fill_name(template: str, fields: Mapping[str, object]) -> str:
    """Fill in the fields of a name, such as ``{row}``.

    Args:
        template: What the user wrote.
        fields: Values by name; ``None`` for one that the row does not set.

    Raises:
        InvalidInputError: If a field is not known, or not set.
    """

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        require(
            name in fields,
            f"output {excerpt(template)!r}: no field {{{excerpt(name)}}}; use "
            f"{', '.join(f'{{{each}}}' for each in fields)}",
            subject="output",
        )
        value = fields[name]
        if value is None:
            raise InvalidInputError(
                f"output {excerpt(template)!r}: the row sets no {name}; add one, or leave "
                f"{{{name}}} out",
                subject="output",
            )
        return str(value)

    return _FIELD.sub(fill, template)


class OutputFolders:
    """Checks where the videos of a batch go; each folder is looked through once."""

    def __init__(self) -> None:
        """Look at nothing yet."""
        self._older: dict[Path, list[Path]] = {}
        """Partial files of earlier renders, by folder."""

    def check(self, path: Path, sources: tuple[Path, ...]) -> None:
        """Prove that a video can be written, as far as that leaves nothing behind.

        A folder that is missing is made when the row is rendered.

        Args:
            path: Of the video.
            sources: Files it is made from, which it must not replace.

        Raises:
            OutputError: If it cannot be written; see :func:`check_output`.
            InvalidInputError: If it would replace one of its sources.
        """
        try:
            if _is_folder(path.parent):
                self._check_sources(self._check_file(path), sources)
            else:
                _check_new_folder(path)
        except (OSError, ValueError) as error:
            if isinstance(error, FlashTalkError):
                raise
            raise unwritable(path, error) from error

    def _check_file(self, path: Path) -> OutputPath:
        target = output_target(path)
        if target.parent not in self._older:
            output = check_output(path)
            names = entries(target.parent)  # none where it may be written to and not listed
            self._older[target.parent] = [each for each in names if OLDER_START in each.name]
            return output
        check_suffix(path)
        output = OutputPath(target)
        with lock_output(output.final, output.lock):
            for name in (output.partial, output.finishing):
                check_replaceable(output.final, name)
        return output

    def _check_sources(self, output: OutputPath, sources: tuple[Path, ...]) -> None:
        start = f"{output.final.stem}{OLDER_START}"
        older = (each for each in self._older[output.final.parent] if each.name.startswith(start))
        names = (output.final, output.partial, output.finishing, output.state, output.audio)
        check_spared(output, sources, (*names, output.lock, *older))


def _check_new_folder(path: Path) -> None:
    """Check that the folder of a video can be made, and names of the video's files in it.

    Raises:
        OSError: If the system does not take a name.
        ValueError: The same.
        FlashTalkError: If there is no folder above, or the name is no video's.
    """
    check_suffix(path)
    check_name(path)
    folders = [path.parent, *path.parent.parents]
    index = next((index for index, each in enumerate(folders) if os.path.lexists(each)), None)
    if index is None or not _is_folder(folders[index]):
        raise OutputError(
            f"output {shown_path(path)}: its folder cannot be made; choose another folder"
        )
    if not os.access(folders[index], os.W_OK | os.X_OK):
        raise OutputError(
            f"output {shown_path(path)}: its folder cannot be made, since "
            f"{shown_path(folders[index])} cannot be written to; choose another folder"
        )
    missing = [each.name for each in folders[:index]]
    for name in (*missing, OutputPath(path).finishing.name):
        _is_folder(folders[index] / name)


def _is_folder(path: Path) -> bool:
    """Whether there is a folder.

    Raises:
        OSError: If the system does not take the name, or does not let it be looked at.
        ValueError: If it can be no name.
    """
    try:
        return S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def make_folder(path: Path) -> None:
    """Make the folder of a video.

    Raises:
        OutputError: If that fails.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"output {shown_path(path)}: its folder cannot be made ({reason(error)}); choose "
            "another folder"
        ) from error
