"""Golden files: what they hold, and their weights in our models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from ..errors import InvalidInputError, WeightsError, require
from ..json_text import parse_json
from ..weights.mapping.key_maps import KeyMap
from .bounds import Placement

COMPONENTS = (
    "dit",
    "dit_two_speakers",
    "vae",
    "umt5",
    "clip",
    "wav2vec2",
    "colour",
    "image",
    "pipeline",
)
"""Files of a complete folder, without suffix."""

_WEIGHTS = "weights."
_MAX_NAMED = 3

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Golden:
    """Content of one golden file."""

    path: Path
    config: dict[str, Any]
    """Every size; nothing about sizes is known elsewhere."""
    tensors: dict[str, Tensor]
    """Inputs and results."""
    weights: dict[str, Tensor]
    """Parameters under the authors' names."""

    @property
    def component(self) -> str:
        """File name without suffix."""
        return self.path.stem

    def __getitem__(self, name: str) -> Tensor:
        """Return the input or result called ``name``."""
        require(
            name in self.tensors, f"{self.path}: no tensor {name!r}; copy the golden file again"
        )
        return self.tensors[name]


def check_folder(folder: Path) -> None:
    """Raise :class:`InvalidInputError` unless ``folder`` holds every golden file."""
    missing = [f"{name}.safetensors" for name in COMPONENTS if not _path(folder, name).is_file()]
    require(
        len(missing) < len(COMPONENTS),
        f"{folder}: no golden files; name a folder with {COMPONENTS[0]}.safetensors and "
        "the others, such as tests/golden of the source tree",
    )
    require(
        not missing,
        f"{folder}: golden files missing: {', '.join(missing)}; copy the folder again",
    )


def read_golden(folder: Path, name: str) -> Golden:
    """Read the file called ``name``, with or without suffix, in ``folder``.

    Raises:
        InvalidInputError: If it is missing, damaged, or names no sizes.
    """
    from safetensors import SafetensorError, safe_open

    path = _path(folder, name.removesuffix(".safetensors"))
    try:
        with safe_open(path, "pt") as file:
            config = parse_json((file.metadata() or {})["config"])
            everything = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InvalidInputError(
            f"{path}: no golden file ({' '.join(str(error).split())}); copy it again"
        ) from error
    weights = {k[len(_WEIGHTS) :]: v for k, v in everything.items() if k.startswith(_WEIGHTS)}
    tensors = {k: v for k, v in everything.items() if not k.startswith(_WEIGHTS)}
    return Golden(path, config, tensors, weights)


def place_model(model: Model, golden: Golden, keys: KeyMap, place: Placement) -> Model:
    """Fill ``model`` with the weights of ``golden`` and move it to where it is to run.

    Raises:
        WeightsError: If a weight is missing, unknown or of another shape.
    """
    own = model.state_dict()
    state: dict[str, Tensor] = {}
    problems: list[str] = []
    for name, tensor in golden.weights.items():
        if keys.is_ignored(name):
            continue
        for target in keys.rename(name):
            part = tensor.chunk(target.num_parts)[target.part]
            parameter = own.get(target.name)
            if parameter is None or parameter.numel() != part.numel():
                problems.append(f"{name} {tuple(part.shape)} does not fit")
            else:
                # Files and models differ in axes of length 1.
                state[target.name] = part.reshape(parameter.shape)
    problems += [f"{name} is missing" for name in own.keys() - state.keys() if not problems]
    if problems:
        named = "; ".join(sorted(problems)[:_MAX_NAMED])
        raise WeightsError(f"{golden.path}: {len(problems)} weights disagree with config: {named}")
    model.load_state_dict(state)
    return model.to(place.device, place.dtype).eval()


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"
