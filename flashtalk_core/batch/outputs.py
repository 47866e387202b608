"""Where the videos of a batch go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import InvalidInputError, OutputError, require
from ..excerpt import excerpt, shown_path
from ..files.output_path import check_output, check_spared

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


def check_row_output(path: Path, sources: tuple[Path, ...]) -> None:
    """Prove that a video can be written, as far as that leaves nothing behind.

    A folder that is missing is made when the row is rendered.

    Args:
        path: Of the video.
        sources: Files it is made from, which it must not replace.

    Raises:
        OutputError: If it cannot be written; see :func:`check_output`.
        InvalidInputError: If it would replace one of its sources.
    """
    if path.parent.is_dir():
        check_spared(check_output(path), sources)
        return
    require(
        path.suffix.lower() == ".mp4",
        f"output {shown_path(path)}: {excerpt(path.suffix, 20)!r} is not written; use a name "
        "in .mp4",
        subject="output",
    )
    above = next((each for each in path.parent.parents if each.exists()), None)
    if path.parent.exists() or above is None or not above.is_dir():
        raise OutputError(
            f"output {shown_path(path)}: its folder cannot be made; choose another folder"
        )


def make_folder(path: Path) -> None:
    """Make the folder of a video.

    Raises:
        OutputError: If that fails.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"output {shown_path(path)}: its folder cannot be made ({error.strerror}); choose "
            "another folder"
        ) from error
