"""Writing of a safetensors file, one tensor at a time: the library wants all of them at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

import torch
from torch import Tensor

_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.uint8: "U8",
}
_ALIGNMENT = 8


@dataclass(frozen=True)
class Entry:
    """One tensor of a file."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def num_bytes(self) -> int:
        """Bytes of its numbers."""
        return prod(self.shape) * self.dtype.itemsize


def write_safetensors(
    file: BinaryIO,
    texts: Mapping[str, str],
    entries: Sequence[Entry],
    read: Callable[[Entry], Tensor],
) -> None:
    """Write a file; tensors are asked for one by one, in their order.

    Args:
        file: Opened for writing, at its start.
        texts: What the header says, by name.
        entries: Tensors.
        read: Returns a tensor of the shape and type of its entry.
    """
    header: dict[str, object] = {"__metadata__": dict(texts)}
    start = 0
    for entry in entries:
        place = [start, start + entry.num_bytes]
        header[entry.name] = {
            "dtype": _NAMES[entry.dtype],
            "shape": entry.shape,
            "data_offsets": place,
        }
        start += entry.num_bytes
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % _ALIGNMENT)
    file.write(len(content).to_bytes(8, "little") + content)
    for entry in entries:
        tensor = read(entry)
        assert (tuple(tensor.shape), tensor.dtype) == (entry.shape, entry.dtype), entry
        file.write(tensor.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
