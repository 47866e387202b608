"""A linear layer whose weight stays packed and is unpacked for each product.

Axis legend: R rows (tokens), I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..linear_format import DENSE, LinearFormat, Rows
from .packing import Packing, Parts


class PackedLinear(nn.Module):
    """A linear layer that computes what a dense one with the unpacked weight computes, to the bit.

    It takes less memory and more time. It has no gradient.
    """

    linear_format: ClassVar[LinearFormat] = DENSE
    """Rows are taken as a dense layer takes them."""

    def __init__(self, linear: nn.Linear, packing: Packing) -> None:
        """Take the place of ``linear``; the weight comes with :meth:`set_parts`.

        Args:
            linear: Gives sizes, device and bias; its weight is not used.
            packing: How the weight is packed.
        """
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.packing = packing
        self.bias = linear.bias
        device = linear.weight.device
        self.set_parts(
            tuple(
                torch.empty(self.out_features, width, dtype=dtype, device=device)
                for width, dtype in packing.sizes(self.in_features)
            )
        )

    def set_parts(self, parts: Parts) -> None:
        """Set the packed weight; see :class:`Packing`."""
        self._num_parts = len(parts)
        for number, part in enumerate(parts):
            self.register_buffer(f"part_{number}", part)

    @property
    def parts(self) -> Parts:
        """The packed weight."""
        return tuple(self.get_buffer(f"part_{number}") for number in range(self._num_parts))

    def dense_weight(self, dtype: torch.dtype) -> Tensor:
        """Unpack the weight, ``(O, I)``."""
        return self.packing.unpacked(self.parts, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., I)`` to ``(..., O)``, same dtype."""
        return F.linear(x, self.dense_weight(x.dtype), self.bias)

    def multiply(self, rows: Rows, dtype: torch.dtype) -> Tensor:
        """Map rows ``(R, I)`` in ``dtype`` to ``(R, O)``."""
        assert isinstance(rows, Tensor)
        return F.linear(rows, self.dense_weight(dtype), self.bias)


def pack_layers(module: nn.Module, kept: Mapping[str, Packing]) -> None:
    """Put packed layers without values in place of linear layers.

    Args:
        module: Changed in place.
        kept: How their weights are packed, by parameter; others than those of linear layers are
            left as they are.
    """
    for name, packing in kept.items():
        owner, _, leaf = name.rpartition(".")
        linear = module.get_submodule(owner)
        if type(linear) is nn.Linear and leaf == "weight":
            module.set_submodule(owner, PackedLinear(linear, packing))
