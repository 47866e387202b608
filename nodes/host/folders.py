"""ComfyUI's model folders, as places where parts of a model are searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath

import folder_paths

from ...flashtalk_core.weights.discovery.parts import Part

OWN_FOLDER = "flashtalk"
_LORAS = "loras"
_TEXT = "text_encoders"

# Names of ComfyUI's folders for each part; the pack's own takes whole models as downloaded.
_FOLDERS: dict[Part, tuple[str, ...]] = {
    "dit": (OWN_FOLDER, "diffusion_models"),
    "vae": ("vae",),
    "text": (_TEXT,),
    "tokenizer": (_TEXT,),
    "clip": ("clip_vision",),
    "audio": ("audio_encoders",),
}


def register_model_folder() -> None:
    """Make ``models/flashtalk`` a place for whole models as their authors publish them."""
    folder_paths.add_model_folder_path(OWN_FOLDER, str(Path(folder_paths.models_dir) / OWN_FOLDER))


def part_folders(part: Part) -> list[Path]:
    """Return the folders where files of ``part`` are kept; some may not exist."""
    known = folder_paths.folder_names_and_paths
    return [
        Path(path)
        for name in _FOLDERS[part]
        if name in known
        for path in folder_paths.get_folder_paths(name)
    ]


def part_files(part: Part) -> list[str]:
    """Return names of all files in the folders of ``part``, for a menu."""
    known = folder_paths.folder_names_and_paths
    names: Sequence[str] = _FOLDERS[part]
    found = [file for name in names if name in known for file in _listed(name)]
    return sorted(set(found))


def part_path(part: Part, name: str) -> Path:
    """Return the path of a file that :func:`part_files` lists.

    ComfyUI does not compare the name with the menu where a node checks it itself. A name that is
    not listed becomes one in the part's own folder, so that no other file is looked at, here or on
    another machine.
    """
    return _listed_path(_FOLDERS[part], name)


def lora_files() -> list[str]:
    """Return names of all files in ComfyUI's folders of LoRAs, for a menu."""
    return sorted(_listed(_LORAS)) if _LORAS in folder_paths.folder_names_and_paths else []


def lora_path(name: str) -> Path:
    """Return the path of a file that :func:`lora_files` lists; see :func:`part_path`."""
    return _listed_path((_LORAS,), name)


def _listed_path(folders: Sequence[str], name: str) -> Path:
    known = [folder for folder in folders if folder in folder_paths.folder_names_and_paths]
    for folder in known:
        path = folder_paths.get_full_path(folder, name) if name in _listed(folder) else None
        if path is not None:
            return Path(path)
    homes = [path for folder in known for path in folder_paths.get_folder_paths(folder)]
    last = PureWindowsPath(name).name.strip(". ")  # takes both kinds of slashes
    return Path(homes[0] if homes else folder_paths.models_dir) / (last or "unnamed")


def _listed(folder: str) -> list[str]:
    names = list(folder_paths.get_filename_list(folder))
    return [*names, *_gguf_files(folder)] if folder == _TEXT else names


def _gguf_files(folder: str) -> Iterator[str]:
    """Yield files that ComfyUI does not list: it reads none of this kind itself."""
    for parent in map(Path, folder_paths.get_folder_paths(folder)):
        for path in parent.rglob("*.gguf"):
            yield str(path.relative_to(parent))
