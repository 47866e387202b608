"""ComfyUI's model folders, as places where parts of a model are searched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PureWindowsPath

import folder_paths

from ...flashtalk_core.files.paths import entries, is_file, is_folder
from ...flashtalk_core.weights.discovery.infinite_talk import is_infinite_talk
from ...flashtalk_core.weights.discovery.parts import PARTS, Part
from ...flashtalk_core.weights.formats.suffixes import READABLE
from ...flashtalk_core.weights.mapping.light_vae import is_light_vae

OWN_FOLDER = "flashtalk"
_LORAS = "loras"
_TEXT = "text_encoders"
_FACES, _YUNET = ("face_detection", "onnx"), "face_detection_yunet*.onnx"
_LIGHT_VAES = ("vae_approx", "vae")
_AUDIO_LAYERS = ("model_patches", "diffusion_models")

# Names of ComfyUI's folders for each part; the pack's own takes whole models as downloaded.
_FOLDERS: dict[Part, tuple[str, ...]] = {
    "dit": (OWN_FOLDER, "diffusion_models"),
    "vae": ("vae",),
    "text": (_TEXT,),
    "tokenizer": (_TEXT,),
    "clip": ("clip_vision",),
    "audio": ("audio_encoders", "wav2vec2"),
}
# Folders of other kinds that have files of a part among others, where other packs look for them.
_SHARED: dict[Part, tuple[str, ...]] = {"clip": ("text_encoders",), "audio": ("transformers",)}
_DEPTH = 3
_TOKENIZERS = "*/configs/*T5_tokenizer*"
"""Of other packs that encode prompts with umT5, such as the WanVideoWrapper."""


def register_model_folder() -> None:
    """Make ``models/flashtalk`` a place for whole models as their authors publish them."""
    folder_paths.add_model_folder_path(OWN_FOLDER, str(Path(folder_paths.models_dir) / OWN_FOLDER))


def part_folders(part: Part) -> list[Path]:
    """Return the folders where files of ``part`` are kept; some may not exist."""
    return [path for kind in (*_FOLDERS[part], *_SHARED.get(part, ())) for path in _paths(kind)]


def tokenizer_folders() -> list[Path]:
    """Return folders of other packs that have umT5's tokenizer."""
    homes = _paths("custom_nodes") if "custom_nodes" in folder_paths.folder_names_and_paths else []
    return [path for home in homes for path in sorted(home.glob(_TOKENIZERS)) if is_folder(path)]


def part_files(part: Part) -> list[str]:
    """Return names of all files in the folders of ``part``, for a menu.

    Of folders that are shared with other parts, those that are named as a file of ``part``.
    """
    return sorted({name for names in _menu_of(part).values() for name in names})


def part_path(part: Part, name: str) -> Path:
    """Return the path of a file that :func:`part_files` lists.

    ComfyUI does not compare the name with the menu where a node checks it itself. A name that is
    not listed becomes one in the part's own folder, so that no other file is looked at, here or on
    another machine.
    """
    return _listed_path(_menu_of(part), name)


def audio_layer_folders() -> list[Path]:
    """Return the folders where audio layers in a file of their own are kept."""
    return [path for kind in _AUDIO_LAYERS for path in _paths(kind)]


def audio_layer_files() -> list[str]:
    """Return names of files that may hold audio layers, for a menu."""
    return sorted({name for names in _audio_layers().values() for name in names})


def audio_layer_path(name: str) -> Path:
    """Return the path of a file that :func:`audio_layer_files` lists; see :func:`part_path`."""
    return _listed_path(_audio_layers(), name)


def _audio_layers() -> dict[str, list[str]]:
    """Return names of the files by kind of folder."""
    patches, others = (list(filter(_is_weights, _listed(kind))) for kind in _AUDIO_LAYERS)
    # Most transformers hold more than audio layers, or none.
    return dict(zip(_AUDIO_LAYERS, (patches, list(filter(is_infinite_talk, others))), strict=True))


def lora_files() -> list[str]:
    """Return names of all files in ComfyUI's folders of LoRAs, for a menu."""
    return sorted(_listed(_LORAS)) if _LORAS in folder_paths.folder_names_and_paths else []


def lora_path(name: str) -> Path:
    """Return the path of a file that :func:`lora_files` lists; see :func:`part_path`."""
    return _listed_path({_LORAS: _listed(_LORAS)}, name)


def light_vae_files() -> list[str]:
    """Return names of light autoencoders in ComfyUI's folders, for a menu; headers are read."""
    listed = _light_vae_names()
    found = {name for names in listed.values() for name in filter(_is_weights, names)}
    return sorted(name for name in found if is_light_vae(_listed_path(listed, name)))


def light_vae_path(name: str) -> Path:
    """Return the path of a file in those folders; see :func:`part_path`."""
    return _listed_path(_light_vae_names(), name)


def face_detector_path() -> Path | None:
    """Return YuNet's file below ComfyUI's folder of models, ``None`` if there is none."""
    places = (path for kind in _FACES for folder in _paths(kind) for path in entries(folder))
    return next((path for path in places if fnmatch(path.name.lower(), _YUNET)), None)


def _light_vae_names() -> dict[str, list[str]]:
    return {kind: _listed(kind) for kind in _LIGHT_VAES}


def _menu_of(part: Part) -> dict[str, list[str]]:
    """Return names of the files of ``part`` by kind of folder."""
    shared = {kind: _own(part, kind) for kind in _SHARED.get(part, ())}
    return {kind: _listed(kind) for kind in _FOLDERS[part]} | shared


def _listed_path(listed: Mapping[str, Sequence[str]], name: str) -> Path:
    homes = [path for kind in listed for path in _paths(kind)]
    for kind, names in listed.items():
        if name in names:
            found = next((home / name for home in _paths(kind) if is_file(home / name)), None)
            if found is not None:
                return found
    last = PureWindowsPath(name).name.strip(". ")  # takes both kinds of slashes
    return (homes[0] if homes else Path(folder_paths.models_dir)) / (last or "unnamed")


def _paths(kind: str) -> list[Path]:
    """Return the folders of one kind; one that ComfyUI does not know is below ``models``."""
    if kind in folder_paths.folder_names_and_paths:
        return [Path(path) for path in folder_paths.get_folder_paths(kind)]
    return [Path(folder_paths.models_dir) / kind]


def _listed(kind: str) -> list[str]:
    """Return names of the files of one kind, those in sub-folders with their path."""
    if kind in folder_paths.folder_names_and_paths:
        names = list(folder_paths.get_filename_list(kind))
        return [*names, *_gguf_files(kind)] if kind in (_TEXT, *_AUDIO_LAYERS) else names
    found = (path.relative_to(home) for home in _paths(kind) for path in _weights(home, _DEPTH))
    return [str(path) for path in found]


def _own(part: Part, kind: str) -> list[str]:
    """Return those of the files of ``kind`` that are named as one of ``part``."""
    patterns = (*PARTS[part].patterns, *PARTS[part].similar)
    names = filter(_is_weights, _listed(kind))
    wanted = [pattern.lower() for pattern in patterns]
    return [name for name in names if _is_named(name, wanted)]


def _is_weights(name: str) -> bool:
    return Path(name).suffix.lower() in READABLE


def _is_named(name: str, patterns: Sequence[str]) -> bool:
    """Whether a file, or the folder that it is in, is named by one of ``patterns``."""
    steps = Path(name.lower()).parts[-2:]
    return any(fnmatch(step, pattern) for step in steps for pattern in patterns)


def _weights(folder: Path, depth: int, above: tuple[Path, ...] = ()) -> list[Path]:
    """Return files of weights in a folder and ``depth`` levels of its sub-folders, links included.

    Args:
        folder: The folder.
        depth: Levels of sub-folders.
        above: Folders that lead to it, resolved: a link back to one of them is not followed.
    """
    above = (*above, folder.resolve())
    found = [e for e in entries(folder) if not e.name.startswith(".")]
    files = [path for path in found if path.suffix.lower() in READABLE and is_file(path)]
    inner = [path for path in found if is_folder(path)] if depth else []
    inner = [path for path in inner if path.resolve() not in above]
    return files + [file for path in inner for file in _weights(path, depth - 1, above)]


def _gguf_files(kind: str) -> Iterator[str]:
    """Yield files that ComfyUI does not list: it reads none of this kind itself."""
    for parent in _paths(kind):
        for path in _weights(parent, _DEPTH):
            if path.suffix.lower() == ".gguf":
                yield str(path.relative_to(parent))
