"""Types of a GGUF file's tensors, by their number."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ....quantization.packed import blocks, superblocks
from ....quantization.packed.packing import Packing


@dataclass(frozen=True)
class TensorType:
    """How the numbers of a tensor are stored."""

    name: str
    num_elements: int
    """Numbers of a block."""
    num_bytes: int
    """Bytes of a block."""
    dtype: torch.dtype | None = None
    """Of plain numbers."""
    packing: Packing | None = None
    """Of others."""


def _packed(packing: Packing, num_elements: int) -> TensorType:
    ((num_bytes, _dtype),) = packing.sizes(num_elements)
    return TensorType(packing.name, num_elements, num_bytes, packing=packing)


TYPES = {
    0: TensorType("F32", 1, 4, torch.float32),
    1: TensorType("F16", 1, 2, torch.float16),
    2: _packed(blocks.Q4_0, 32),
    3: _packed(blocks.Q4_1, 32),
    6: _packed(blocks.Q5_0, 32),
    7: _packed(blocks.Q5_1, 32),
    8: _packed(blocks.Q8_0, 32),
    10: _packed(superblocks.Q2_K, 256),
    11: _packed(superblocks.Q3_K, 256),
    12: _packed(superblocks.Q4_K, 256),
    13: _packed(superblocks.Q5_K, 256),
    14: _packed(superblocks.Q6_K, 256),
    20: _packed(blocks.IQ4_NL, 32),
    23: _packed(superblocks.IQ4_XS, 256),
    28: TensorType("F64", 1, 8, torch.float64),
    30: TensorType("BF16", 1, 2, torch.bfloat16),
}
"""Those that are read. Source: ``GGMLQuantizationType`` of the ``gguf`` package 0.19."""
NUMBERS = {kind.name: number for number, kind in TYPES.items()}

UNREAD = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S",
    22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 29: "IQ1_M", 34: "TQ1_0",
    35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip
"""Names of the others, for messages."""
