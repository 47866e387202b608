"""One stored tensor, its form and its scale: read as numbers, or as the parts it is packed in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..quantization.packed.packing import Packing, Parts
from ..quantization.packed.scaled import FP8_E4M3, FP8_E5M2
from .formats.scaled_fp8 import dequantise
from .formats.source import ReadTensor, TensorInfo, TensorSource
from .mapping.key_maps import Target

_FP8 = {torch.float8_e4m3fn: FP8_E4M3, torch.float8_e5m2: FP8_E5M2}


@dataclass(frozen=True)
class Scale:
    """The scale of a quantised tensor, which may lie in another shard than the tensor."""

    name: str
    source: TensorSource
    is_beside: bool
    """Whether it lies in the source of the tensor itself."""

    def read(self, read_beside: ReadTensor) -> Tensor:
        """Return the scale; ``read_beside`` reads what lies beside the tensor."""
        if self.is_beside:
            return read_beside(self.name)  # each opening reads a header of thousands of names
        with self.source.reading() as read:
            return read(self.name)


@dataclass(frozen=True)
class TensorMapping:
    """One stored tensor and the parameters that it becomes."""

    name: str
    info: TensorInfo
    scale: Scale | None
    targets: tuple[Target, ...]

    @property
    def packing(self) -> Packing | None:
        """How its numbers are packed if it can be kept so, as the weight of a linear layer."""
        if len(self.targets) > 1 or len(self.info.shape) != 2:
            return None
        if self.info.form is not None:
            return self.info.form.packing if self.info.form.is_by_row else None
        return None if self.info.dtype is None else _FP8.get(self.info.dtype)

    def read(self, read: ReadTensor, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Return its numbers in ``dtype``, each rounded once."""
        # Only CUDA is known to support every stored dtype; elsewhere the CPU converts.
        stage = device if device.type == "cuda" else torch.device("cpu")
        if self.info.form is not None:
            parts = tuple(part.to(stage) for part in self._stored_parts(read))
            found = self.info.form.packing.unpacked(parts, dtype)
            return found.reshape(self.info.shape).to(device)
        stored = read(self.name).to(stage)
        if self.scale is not None:
            return dequantise(stored, self.scale.read(read).to(stage), dtype).to(device)
        # Copied even when nothing changes: the source must not stay memory-mapped.
        return stored.to(dtype, copy=stage.type == "cpu").to(device)

    def read_parts(self, read: ReadTensor, device: torch.device) -> Parts:
        """Return its numbers packed, as :attr:`packing` has them; no memory is the source's."""
        if self.info.form is not None:
            parts = self._stored_parts(read)
        else:
            one = torch.ones(1, 1) if self.scale is None else self.scale.read(read).float()
            parts = (read(self.name), one.reshape(-1, 1))
        # Copied even when nothing changes: the source must not stay memory-mapped.
        copy = device.type == "cpu"
        return tuple(part.to(device, copy=copy).contiguous() for part in parts)

    def _stored_parts(self, read: ReadTensor) -> Parts:
        assert self.info.form is not None
        companions = [read(name) for name in self.info.form.companions]
        return self.info.form.arrange(read(self.name), *companions)
