"""The audio of an extended video, a file beside it while it is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..engine.spec import RenderSpec
from ..files.output_path import OutputPath


def has_joined_audio(output: OutputPath, spec: RenderSpec) -> bool:
    """Whether a render takes its audio from a file that goes with it."""
    return any(each.audio and _is_same(each.audio, output.audio) for each in spec.speakers)


@contextmanager
def removing_joined_audio(output: OutputPath) -> Iterator[None]:
    """Remove that file at the end, unless the render is interrupted and can go on."""
    try:
        yield
    finally:
        if not output.state.exists():
            output.audio.unlink(missing_ok=True)


def _is_same(name: str, path: Path) -> bool:
    try:
        return path.samefile(name)
    except (OSError, ValueError):  # one is missing, or is no name that the system takes
        return False
