"""How linear layers store their weight, and in which form they take rows.

Fused code asks a layer for its format once and hands both on: a format of its own needs no change
there, only an operation that writes its rows where the one here is too slow.

Axis legend: R rows (tokens), I inputs, O outputs.
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

ScaledRows = tuple[Tensor, Tensor]
"""FP8 values ``(R, I)`` and the factors that undo their scaling ``(R, 1)``."""
Rows = Tensor | ScaledRows
"""What a linear layer takes: numbers ``(R, I)`` in the tokens' dtype, or FP8 with factors."""


class LinearFormat(Protocol):
    """A format of linear layers, such as FP8; one immutable object for each format."""

    def convert(self, linear: nn.Linear, device: torch.device) -> nn.Module:
        """Return ``linear`` in this format.

        Args:
            linear: In its final dtype; stays as it is.
            device: Where the result will run; its values are where those of ``linear`` are.

        Returns:
            A layer with a :class:`FormattedLinear`'s methods, or ``linear`` itself where the
            format has no product for its size.
        """
        ...

    def prepare_rows(self, x: Tensor, dtype: torch.dtype) -> Rows:
        """Return rows ``(R, I)`` of any float dtype as layers of this format take them.

        Args:
            x: Rows.
            dtype: Of the tokens, for formats that multiply in it.
        """
        ...


class FormattedLinear(Protocol):
    """A linear layer that is no ``nn.Linear``."""

    linear_format: LinearFormat

    def multiply(self, rows: Rows, dtype: torch.dtype) -> Tensor:
        """Map what ``linear_format`` prepared, ``(R, I)``, to ``(R, O)`` in ``dtype``."""
        ...


class _Dense:
    """``nn.Linear`` as it is."""

    def convert(self, linear: nn.Linear, device: torch.device) -> nn.Module:  # noqa: ARG002
        return linear

    def prepare_rows(self, x: Tensor, dtype: torch.dtype) -> Rows:
        return x.to(dtype)


DENSE: LinearFormat = _Dense()


def format_of(layer: nn.Module) -> LinearFormat:
    """Return the format of a linear layer."""
    return DENSE if isinstance(layer, nn.Linear) else cast("FormattedLinear", layer).linear_format


def multiply_rows(layer: nn.Module, rows: Rows, dtype: torch.dtype) -> Tensor:
    """Map rows in the layer's own format, ``(R, I)``, to ``(R, O)`` in ``dtype``.

    A dense layer multiplies in the dtype of ``rows``, which is ``dtype``.
    """
    if isinstance(layer, nn.Linear):
        assert isinstance(rows, Tensor)
        out: Tensor = layer(rows)
        return out
    return cast("FormattedLinear", layer).multiply(rows, dtype)
