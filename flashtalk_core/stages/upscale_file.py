"""Upscaling networks from files, by the spandrel library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ..borders import library_border
from ..errors import InvalidInputError, WeightsError, about, prefixed, require
from ..excerpt import shown_path
from ..files.paths import check_file, user_path
from ..packages import missing_package
from .stage import weight_bytes_of, weights_digest
from .upscaling import Upscale

_SUFFIXES = (".safetensors", ".pth")
"""Without programs in them: TorchScript's ``.pt`` is one."""


@dataclass(frozen=True)
class FileUpscaler:
    """A network of a file; :class:`.upscaling.Upscaler`. Its weights wait on the host."""

    path: Path
    identity: str
    device: torch.device
    descriptor: Any
    """Spandrel's ``ImageModelDescriptor``."""

    def __repr__(self) -> str:
        return f"FileUpscaler({shown_path(self.path)}, x {self.scale} on {self.device})"

    @property
    def scale(self) -> int:
        """How much larger it makes images."""
        return int(self.descriptor.scale)

    @property
    def weight_bytes(self) -> int:
        """Device memory of its weights."""
        return weight_bytes_of(self.descriptor.model)

    @contextmanager
    def opened(self) -> Iterator[Upscale]:
        """Bring it to its device as long as the context lasts."""
        model = self.descriptor.model.to(self.device)
        try:
            yield self.descriptor
        finally:
            model.to("cpu")


def _read(file: Path) -> Any:
    """Return what is in a file; nothing of a pickle is run."""
    if file.suffix.lower() == ".safetensors":
        return load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def _unknown(shown: str, reason: str) -> InvalidInputError:
    # One word is a code, or the name of an error in the library.
    told = f"spandrel cannot read it ({reason})" if " " in reason else "spandrel knows no such file"
    return InvalidInputError(
        f"upscaling model {shown}: {told}; use a .safetensors or .pth file of an upscaler such as "
        "ESRGAN, Real-ESRGAN, SwinIR or DAT"
    )


@about("upscale")
def open_upscaler(
    path: str | Path,
    device: torch.device,
    check_header: Callable[[Path], object] = lambda _path: None,
) -> FileUpscaler:
    """Read an upscaling network, a few MB to some 100 MB, to the host.

    Args:
        path: A ``.safetensors`` or ``.pth`` file of a kind that spandrel knows.
        device: Where it is to run.
        check_header: Refuses a file that is cut short or none of tensors, which needs no spandrel.

    Raises:
        InvalidInputError: If spandrel is not installed, or the file is missing, damaged, or no
            network that takes one colour image and gives a larger or sharper one.
    """
    file = user_path(path, "upscaling model")
    check_file(file, "upscaling model")
    shown = shown_path(file)
    require(
        file.suffix.lower() in _SUFFIXES,
        f"upscaling model {shown}: use a file in {' or '.join(_SUFFIXES)}",
    )
    try:
        with prefixed("upscaling model"):
            check_header(file)
    except WeightsError as error:
        raise InvalidInputError(str(error)) from error
    try:
        from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict
    except ImportError as error:
        raise InvalidInputError(f"upscaling by a file: {missing_package('spandrel')}") from error
    with library_border(lambda reason: _unknown(shown, reason)):
        found = ModelLoader().load_from_state_dict(canonicalize_state_dict(_read(file)))
    require(
        isinstance(found, ImageModelDescriptor)
        and found.input_channels == found.output_channels == 3,
        f"upscaling model {shown}: {found.architecture.name} does not make one colour image of "
        "one; use an upscaler such as ESRGAN, Real-ESRGAN, SwinIR or DAT",
    )
    found.eval()
    return FileUpscaler(file, weights_digest(found.model), device, found)
