"""Linear layers in FP8 (e4m3), scaled row by row, for inference.

GPUs without products of FP8 keep the weights in it and multiply in the tokens' dtype.

Axis legend: R rows (tokens), I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..excerpt import first_line
from .linear_format import DENSE, LinearFormat, Rows, ScaledRows
from .packed.linear import PackedLinear
from .packed.scaled import FP8_E4M3

FLOAT8 = torch.float8_e4m3fn
LARGEST = torch.finfo(FLOAT8).max
"""Largest number of FP8."""
_TILE_ELEMENTS = 2**25
_SIZE_MULTIPLE = 16
"""The kernels take matrices of multiples of this only."""
# Hopper and Ada multiply FP8; earlier GPUs do not.
_MIN_CAPABILITY = (8, 9)
_WITHOUT_PRODUCTS = ("cpu", "meta")
"""Kinds of device where :class:`Float8Linear` multiplies in float32, or not at all."""


def quantise_rows(x: Tensor) -> ScaledRows:
    """Scale each row to the range of FP8.

    Args:
        x: ``(R, I)``, any float dtype.

    Returns:
        ``(R, I)`` FP8, and the factors that undo the scaling, ``(R, 1)`` float32.
    """
    wide = x.float()
    scale = wide.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / LARGEST
    return (wide / scale).clamp(-LARGEST, LARGEST).to(FLOAT8), scale


def _quantise_in_tiles(x: Tensor) -> ScaledRows:
    """Scale rows, one row tile at a time: float32 copies of all would take gigabytes.

    A compiler fuses all of it and needs no copies.
    """
    if torch.compiler.is_compiling() or x.numel() <= _TILE_ELEMENTS:
        return quantise_rows(x)
    values = torch.empty(x.shape, dtype=FLOAT8, device=x.device)
    scales = torch.empty((x.shape[0], 1), dtype=torch.float32, device=x.device)
    step = max(1, _TILE_ELEMENTS // x.shape[1])
    for start in range(0, x.shape[0], step):
        tile = slice(start, start + step)
        values[tile], scales[tile] = quantise_rows(x[tile])
    return values, scales


Product = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""``(R, I)`` and ``(O, I)`` FP8, factors ``(R, 1)`` and ``(O, 1)``, bias ``(O,)``; ``(R, O)``."""


def product_by_row(
    rows: Tensor, weight: Tensor, row_scale: Tensor, weight_scale: Tensor, bias: Tensor
) -> Tensor:
    """Multiply ``(R, I)`` by ``(O, I)``, both FP8; ``(R, O)`` bfloat16.

    With scales by row the kernels take no other dtype for bias and result.
    """
    return torch._scaled_mm(
        rows,
        weight.T,
        scale_a=row_scale,
        scale_b=weight_scale.T,
        bias=bias.to(torch.bfloat16),
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    )


def product_by_tensor(
    rows: Tensor, weight: Tensor, row_scale: Tensor, weight_scale: Tensor, bias: Tensor
) -> Tensor:
    """Multiply as :func:`product_by_row` does, with the factors applied afterwards.

    For builds of PyTorch without scales by row, those for Windows among them: one pass more over
    the result, which is rounded to bfloat16 once more.
    """
    one = torch.ones((), device=rows.device)
    product = torch._scaled_mm(
        rows, weight.T, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
    )
    return torch.addcmul(bias.float(), product * row_scale, weight_scale.T).to(torch.bfloat16)


class _FP8:
    """:class:`LinearFormat` of :class:`Float8Linear`."""

    def convert(self, linear: nn.Linear, device: torch.device) -> nn.Module:
        if not _is_multiple(linear):
            return linear
        if device.type in _WITHOUT_PRODUCTS or multiplies_fp8(device):
            return Float8Linear(linear, _choose_product(device))
        return _stored(linear)

    def prepare_rows(self, x: Tensor, dtype: torch.dtype) -> Rows:  # noqa: ARG002
        return quantise_rows(x)


FP8: LinearFormat = _FP8()


def choose_format(*, float8: bool) -> LinearFormat:
    """Return the format of a transformer's large linear layers."""
    return FP8 if float8 else DENSE


class Float8Linear(nn.Module):
    """A linear layer with one scale for each output channel and one for each input row.

    Rows are scaled at every call, so that no calibration is needed. It has no gradient.
    """

    linear_format: ClassVar[LinearFormat] = FP8
    weight: Tensor
    weight_scale: Tensor

    def __init__(self, linear: nn.Linear, product: Product = product_by_row) -> None:
        super().__init__()
        weight, scale = _quantise_in_tiles(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", scale)
        self.bias = linear.bias
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., I)`` to ``(..., O)``, same dtype."""
        out = self.multiply(_quantise_in_tiles(x.flatten(0, -2)), x.dtype)
        return out.unflatten(0, x.shape[:-1])

    def product_of(self, x: Tensor) -> Callable[[], Tensor]:
        """Return the product alone with ``x`` ``(R, I)`` scaled beforehand, for measures."""
        scaled = quantise_rows(x)
        return lambda: self.multiply(scaled, x.dtype)

    def multiply(self, scaled: Rows, dtype: torch.dtype) -> Tensor:
        """Map rows from :func:`quantise_rows` ``(R, I)`` to ``(R, O)`` in ``dtype``."""
        assert isinstance(scaled, tuple)
        rows, scale = scaled
        if rows.device.type != "cuda":
            wide = F.linear(rows.float(), self.weight.float()) * scale * self.weight_scale.T
            return (wide + self.bias.float()).to(dtype)
        return self.product(rows, self.weight, scale, self.weight_scale, self.bias).to(dtype)


def _stored(linear: nn.Linear) -> PackedLinear:
    """Return ``linear`` with its weight in FP8, which is unpacked for each product."""
    layer = PackedLinear(linear, FP8_E4M3)
    layer.set_parts(_quantise_in_tiles(linear.weight.detach()))
    return layer


def fp8_unsupported_reason(device: torch.device) -> str | None:
    """Return why ``device`` cannot run layers in FP8, ``None`` if it can.

    It multiplies FP8, or keeps weights in it; which one is tried out, and takes memory of a GPU.
    """
    if device.type == "cpu" or multiplies_fp8(device) or _keeps_fp8(device):
        return None
    reason = fp8_missing_reason(device)
    if reason is not None:
        return reason
    by_row = _product_error(product_by_row, device)
    name = torch.cuda.get_device_name(device)
    return f"float8 on {name}: this PyTorch cannot multiply FP8 ({by_row})"


def multiplies_fp8(device: torch.device) -> bool:
    """Whether a GPU has products of FP8; others may keep weights in it all the same."""
    if device.type != "cuda" or fp8_missing_reason(device) is not None:
        return False
    products = (product_by_row, product_by_tensor)
    return any(_product_error(product, device) is None for product in products)


@cache
def _keeps_fp8(device: torch.device) -> bool:
    """Whether a device turns FP8 into other numbers, which is tried."""
    try:
        torch.ones(2, 2, device=device).to(FLOAT8).float()
    except torch.OutOfMemoryError:
        raise  # does not concern FP8
    except Exception:  # back ends raise anything
        return False
    return True


def fp8_missing_reason(device: torch.device) -> str | None:
    """Return why a device of its kind does not multiply FP8, ``None`` if it does.

    The device is not used.
    """
    if device.type == "cpu":
        return None
    if device.type != "cuda" or torch.version.hip is not None:
        return f"float8 on {device}: it runs on NVIDIA GPUs"
    capability = torch.cuda.get_device_capability(device)
    if capability >= _MIN_CAPABILITY:
        return None
    return (
        f"float8 on {torch.cuda.get_device_name(device)}: it needs compute capability "
        f"{'.'.join(map(str, _MIN_CAPABILITY))}, this GPU has {'.'.join(map(str, capability))}"
    )


def _choose_product(device: torch.device) -> Product:
    """Return the fastest product that ``device`` has."""
    if device.type == "cuda" and _product_error(product_by_row, device) is not None:
        return product_by_tensor
    return product_by_row


@cache
def _product_error(product: Product, device: torch.device) -> str | None:
    """Try a product; return the error, ``None`` if there is none."""
    try:
        rows = torch.zeros(16, 16, device=device).to(FLOAT8)
        ones = torch.ones(16, 1, device=device)
        product(rows, rows, ones, ones, ones[:, 0])
    except torch.OutOfMemoryError:
        raise  # does not concern the product
    except RuntimeError as error:
        return first_line(error)
    return None


def _is_multiple(linear: nn.Linear) -> bool:
    return linear.in_features % _SIZE_MULTIPLE == 0 and linear.out_features % _SIZE_MULTIPLE == 0
