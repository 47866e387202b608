"""Weights that ComfyUI's loaders have read, as a source of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...flashtalk_core.weights.formats.source import ReadTensor, TensorInfo


@dataclass(frozen=True)
class NativeTensors:
    """Parameters of a module that another node loaded; :class:`TensorSource` of the core."""

    label: str
    name: str
    identity: str
    infos: Mapping[str, TensorInfo] = field(repr=False)
    module: nn.Module | None = field(default=None, repr=False)
    """What values are read from; ``None`` of what ComfyUI runs, whose values nobody reads."""

    @contextmanager
    def reading(self) -> Iterator[ReadTensor]:
        """Read parameters by name; see :class:`TensorSource`."""
        assert self.module is not None, f"{self.label} runs in ComfyUI"
        values = dict(self.module.named_parameters())

        def read(name: str) -> Tensor:
            return values[name].detach().cpu()

        yield read


def stored_infos(module: nn.Module) -> dict[str, TensorInfo]:
    """Return the parameters of a module that is made of plain tensors."""
    return {name: TensorInfo.of(value) for name, value in module.named_parameters()}


def run_infos(module: nn.Module) -> dict[str, TensorInfo]:
    """Return the parameters of a module that ComfyUI runs, with the shapes of their numbers.

    Loaders keep matrices in forms of their own (GGUF, FP8, NVFP4), whose tensors may have other
    shapes and types; the layers say which shape they compute with.
    """
    shapes = {name: tuple(value.shape) for name, value in module.named_parameters()}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            shapes[f"{name}.weight"] = (layer.out_features, layer.in_features)
            if layer.bias is None:
                shapes.pop(f"{name}.bias", None)
    return {name: TensorInfo(shape, torch.float32) for name, shape in shapes.items()}
