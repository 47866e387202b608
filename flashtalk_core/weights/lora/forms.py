"""Forms in which files store a change of a weight: LoRA, LoHa and LoKr.

Axis legend: R rank, I inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, ...]
Sizes = Mapping[str, Shape]
"""Shapes of the stored tensors by part."""


@dataclass(frozen=True)
class Form:
    """One form: what it is made of, and what that makes."""

    factors: tuple[tuple[str, ...], ...]
    """Parts that make each factor: alone, or as ``a`` and ``b``, which are multiplied."""
    matrix_of: Callable[..., Tensor]
    """Makes the change of the factors."""
    matrix_shape: Callable[..., Shape]
    """Returns the shape of the change for the shapes of the factors."""
    middle: tuple[str, ...]
    """Parts that only convolutions have, which are not known here."""

    @property
    def parts(self) -> frozenset[str]:
        """Every part that belongs to it."""
        return frozenset(part for factor in self.factors for part in factor) | {*self.middle}

    def missing(self, sizes: Sizes) -> bool:
        """Whether a factor has no part, or one of a pair."""
        return not all(_is_whole(factor, sizes) for factor in self.factors)

    def shape(self, sizes: Sizes) -> Shape | None:
        """Return the shape of the change, ``None`` if the parts do not go together."""
        shapes = [_factor_shape(factor, sizes) for factor in self.factors]
        return None if None in shapes else self.matrix_shape(*shapes)

    def matrix(self, found: Mapping[str, Tensor]) -> tuple[Tensor, int | None]:
        """Return the change, float32, and its rank; ``None`` where nothing of it has one.

        Args:
            found: The stored tensors by part, on one device.
        """
        pairs = [_pair(factor, found) for factor in self.factors]
        ranks = [found[pair[1]].shape[0] for pair in pairs if pair is not None]
        factors = [_factor(factor, found) for factor in self.factors]
        return self.matrix_of(*factors), ranks[-1] if ranks else None


def _product(factor: Tensor) -> Tensor:
    return factor


def _product_shape(shape: Shape) -> Shape:
    return shape


def _hadamard(first: Tensor, second: Tensor) -> Tensor:
    return first * second


def _hadamard_shape(first: Shape, second: Shape) -> Shape:
    return first if first == second else ()


def _kronecker(first: Tensor, second: Tensor) -> Tensor:
    # Kernels of a convolution are on the second factor alone.
    return torch.kron(first.reshape(*first.shape, *[1] * (second.dim() - 2)), second)


def _kronecker_shape(first: Shape, second: Shape) -> Shape:
    if len(first) != 2 or len(second) < 2:
        return ()
    return (first[0] * second[0], first[1] * second[1], *second[2:])


LORA = Form((("up", "down"),), _product, _product_shape, ("mid",))
"""``up`` (O, R) times ``down`` (R, I)."""
LOHA = Form(
    (("hada_w1_a", "hada_w1_b"), ("hada_w2_a", "hada_w2_b")),
    _hadamard, _hadamard_shape, ("hada_t1", "hada_t2"),
)  # fmt: skip
"""Two such products, multiplied number by number."""
LOKR = Form(
    (("lokr_w1", "lokr_w1_a", "lokr_w1_b"), ("lokr_w2", "lokr_w2_a", "lokr_w2_b")),
    _kronecker, _kronecker_shape, ("lokr_t2",),
)  # fmt: skip
"""The Kronecker product of two matrices, each whole or a product."""
FORMS = (LORA, LOHA, LOKR)


def form_of(parts: Mapping[str, object]) -> Form | None:
    """Return the form that any of ``parts`` belongs to; ``None`` for differences alone."""
    return next((form for form in FORMS if form.parts & parts.keys()), None)


def _pair(factor: tuple[str, ...], found: Mapping[str, object]) -> tuple[str, str] | None:
    """Return the parts of a factor that is a product, ``None`` for one that is stored whole."""
    if len(factor) == 3 and factor[0] in found:
        return None
    return factor[-2], factor[-1]


def _is_whole(factor: tuple[str, ...], sizes: Sizes) -> bool:
    pair = _pair(factor, sizes)
    return pair is None or all(part in sizes for part in pair)


def _factor_shape(factor: tuple[str, ...], sizes: Sizes) -> Shape | None:
    """Return the shape of a factor, ``None`` if its pair cannot be multiplied."""
    pair = _pair(factor, sizes)
    if pair is None:
        return sizes[factor[0]]
    up, down = sizes[pair[0]], sizes[pair[1]]
    # The rank is the width of one and the height of the other.
    if len(up) < 2 or len(down) < 2 or math.prod(up[1:]) != down[0]:
        return None
    return up[0], math.prod(down[1:])


def _factor(factor: tuple[str, ...], found: Mapping[str, Tensor]) -> Tensor:
    pair = _pair(factor, found)
    if pair is None:
        return found[factor[0]].float()
    return found[pair[0]].float().flatten(1) @ found[pair[1]].float().flatten(1)
