"""Audio layers in a file of their own: InfiniteTalk's, for a Wan 2.1 transformer that has none."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from ...errors import WeightsError, about, prefixed
from ...excerpt import shown_path
from ...files.paths import entries, is_file, is_folder
from ..formats.shown import some
from ..formats.suffixes import READABLE
from ..formats.tensor_file import check_header, open_tensor_file
from .infinite_talk import is_infinite_talk
from .parts import AUDIO_LAYERS

FOLDERS = ("", "model_patches", "diffusion_models")
"""Below a folder of all models, where such files lie."""
_SEVERAL = "*multi*"
"""Those for several speakers, which are taken last."""
BASES = tuple(
    f"wan2?1*i2v{size}*{ending}" for size in ("*480p", "") for ending in (".safetensors", ".gguf")
)
"""Names of transformers that such layers are for, looked for after all others. Without any layers,
too: the transformer that is there is then told to lack them."""
_LEVELS = 2
_NAMES_SHOWN = 3
_TITLE = "audio layers"
_AUDIO, _BASE = "audio_proj.", "patch_embedding."
"""What names of tensors of the two kinds of layers contain, whatever is before it."""


@dataclass(frozen=True)
class AudioLayers:
    """Which audio layers a transformer without any gets."""

    chosen: Path | None = None
    """A file that was chosen; ``None`` looks for one where the transformer has none."""
    places: tuple[Path, ...] = ()
    """Folders in which it is looked for, with two levels of sub-folders; empty: nowhere."""

    def complete(self, dit: tuple[Path, ...]) -> tuple[Path, ...]:
        """Return the files of a transformer with those of its audio layers.

        Headers are read, and the table of a pickled transformer.

        Raises:
            WeightsError: If the chosen file is none, or the transformer's are damaged.
        """
        if self.chosen is not None:
            with about("audio_layers"):
                _check_chosen(self.chosen)
            return (*dit, self.chosen)
        if self.places and self._found and _lack_audio(dit):
            return (*dit, self._found)
        return dit

    @cached_property
    def _found(self) -> Path | None:
        found = sorted(
            (path for folder in self.places for path in _named(folder, _LEVELS)),
            key=lambda path: fnmatch(path.name.lower(), _SEVERAL),
        )
        return next((path for path in found if _hold_audio_alone(path)), None)


NO_AUDIO_LAYERS = AudioLayers()
"""A transformer has its own, or it is refused."""


def _check_chosen(path: Path) -> None:
    if is_folder(path):
        raise WeightsError(f"{_TITLE} {shown_path(path)}: this is a folder; name a file in it")
    if not is_file(path):
        raise WeightsError(
            f"{_TITLE} {shown_path(path)}: no such file; choose another or put it back"
        )
    if path.suffix.lower() not in READABLE:
        raise WeightsError(
            f"{_TITLE} {shown_path(path)}: {path.suffix or 'such'} files are not read; choose "
            f"one of {', '.join(READABLE)}"
        )
    with prefixed(_TITLE):
        names = _names_in(path)
    if not any(_AUDIO in name for name in names):
        raise WeightsError(
            f"{_TITLE} {shown_path(path)}: none of its {len(names)} tensors "
            f"({some(sorted(names), _NAMES_SHOWN) or 'none'}) are audio layers; choose "
            f"{AUDIO_LAYERS}, or use 'auto'"
        )


def _named(folder: Path, levels: int) -> Iterator[Path]:
    for path in entries(folder):
        if is_infinite_talk(path.name) and path.suffix.lower() in READABLE and is_file(path):
            yield path
        elif levels and not path.name.startswith(".") and is_folder(path):
            yield from _named(path, levels - 1)


def _lack_audio(paths: tuple[Path, ...]) -> bool:
    return not any(_AUDIO in name for path in paths for name in _names_in(path))


def _names_in(path: Path) -> Collection[str]:
    """Return the names of a file's tensors, by its header, or by its table if it is pickled."""
    header = check_header(path)
    return open_tensor_file(path).infos if header is None else header


def _hold_audio_alone(path: Path) -> bool:
    try:
        names = check_header(path) or ()
    except (WeightsError, OSError):
        return False  # it is not what was asked for
    return any(_AUDIO in name for name in names) and not any(_BASE in name for name in names)
