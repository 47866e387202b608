"""A source of tensors that is no file, as a model that another program has loaded would be."""

from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from flashtalk_core.weights.formats.source import TensorInfo


@dataclass(frozen=True)
class MemorySource:
    """A dictionary of tensors; of those on the meta device, infos alone can be asked for."""

    name: str
    tensors: dict[str, Tensor]

    @property
    def label(self):
        return f"{self.name} in memory"

    @property
    def identity(self):
        return self.label

    @property
    def infos(self):
        return {name: TensorInfo.of(tensor) for name, tensor in self.tensors.items()}

    @contextmanager
    def reading(self):
        yield self.tensors.__getitem__
