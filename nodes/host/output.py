"""Where finished videos go, and what is written into them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args

from ...flashtalk_core.errors import OutputError

STORE_FOLDER = ".flashtalk"


@dataclass(frozen=True)
class OutputFile:
    """A new file in ComfyUI's output folder."""

    path: Path
    subfolder: str
    """Folder of it below the output folder, as ComfyUI's page asks for it."""


def new_output(prefix: str, size_px: tuple[int, int], suffix: str) -> OutputFile:
    """Return an unused name, numbered as by ComfyUI's Save Video.

    Args:
        prefix: What the user typed; may hold folders and fields like ``%year%``.
        size_px: Height and width of the video.
        suffix: Of the file, with its dot.

    Raises:
        OutputError: If the prefix has no name in it, or leads outside the output folder.
    """
    height, width = size_px
    _check_prefix(prefix)
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            prefix, folder_paths.get_output_directory(), width, height
        )
    except OSError as error:
        raise OutputError(
            f"filename prefix {prefix!r}: its folder cannot be made ({error.strerror}); "
            "choose another one"
        ) from error
    except Exception as error:  # ComfyUI raises no narrower class here
        raise OutputError(
            f"filename prefix {prefix!r}: it leads outside the output folder; "
            "use a name, or folders below it"
        ) from error
    return OutputFile(Path(folder) / f"{name}_{counter:05}_{suffix}", subfolder)


def _check_prefix(prefix: str) -> None:
    if not prefix.strip() or prefix.endswith(("/", "\\")):
        raise OutputError(f"filename prefix {prefix!r}: it ends without a name; add one")
    if not prefix.isprintable():
        raise OutputError(
            f"filename prefix {prefix!r}: it holds characters that cannot be seen; remove them"
        )
    if STORE_FOLDER in prefix.replace("\\", "/").split("/"):
        raise OutputError(
            f"filename prefix {prefix!r}: {STORE_FOLDER} is where renders are kept and removed "
            "again; choose another folder"
        )


def folder_below(name: str) -> Path:
    """Return a folder below the output folder; it may not exist yet.

    Raises:
        OutputError: If it leads outside.
    """
    _check_prefix(f"{name}/row")
    top = Path(folder_paths.get_output_directory())
    if not is_below(top / name, top):
        raise OutputError(
            f"folder {name!r}: it leads outside the output folder; use a folder below it",
            subject="folder",
        )
    return top / name


def is_below(path: Path, folder: Path | None = None) -> bool:
    """Whether ``path`` lies in a folder, links followed; ``None`` is ComfyUI's output folder."""
    top = Path(folder_paths.get_output_directory()) if folder is None else folder
    return path.resolve().is_relative_to(top.resolve())


def output_file(path: Path) -> OutputFile:
    """Return a video in the output folder as ComfyUI's page asks for it."""
    below = path.resolve().relative_to(Path(folder_paths.get_output_directory()).resolve())
    return OutputFile(path, "" if below.parent == Path() else below.parent.as_posix())


def input_path(name: str) -> Path:
    """Return a file in ComfyUI's input folder, or the one that a whole path names."""
    return Path(folder_paths.get_input_directory()) / Path(name.strip())


def store_folder() -> Path:
    """Return the folder where finished renders are kept."""
    return Path(folder_paths.get_output_directory()) / STORE_FOLDER


def workflow_metadata(prompt: Any, extra_pnginfo: dict[str, Any] | None) -> dict[str, str]:
    """Return the graph as texts for the file, as ComfyUI's own Save Video embeds it.

    Args:
        prompt: The prompt that runs; ``None`` where there is none.
        extra_pnginfo: The workflow and whatever else the page sent; ``None`` for nothing.
    """
    if args.disable_metadata:
        return {}
    found = dict(extra_pnginfo or {})
    if prompt is not None:
        found["prompt"] = {name: _as_queued(node) for name, node in prompt.items()}
    return {name: json.dumps(value) for name, value in found.items()}


def _as_queued(node: dict[str, Any]) -> dict[str, Any]:
    """Return a node of a prompt without the fingerprint that ComfyUI writes into it.

    A prompt that is queued again with it never gets another one.
    """
    return {name: value for name, value in node.items() if name != "is_changed"}
