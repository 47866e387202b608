"""Half precision on a CPU, where a vendor's kernels are checked before use.

oneDNN on CPUs with AMX computes grouped convolutions in bfloat16 wrongly (torch 2.13: 64 channels
in 16 groups are off by their own size). Convolutions of half-precision networks are therefore
always computed in float32 on a CPU; matrix products and attention are compared with float32 once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InvalidInputError

HALF = (torch.bfloat16, torch.float16)

MAX_ERROR = 0.03
"""Relative rms error of one product in half precision; rounding alone makes 0.002 to 0.004."""

_SIZES = ((1, 20, 12), (7, 64, 64), (33, 96, 40), (130, 512, 384))
"""Rows, inputs and outputs: odd and even, from toy networks to a tile of large ones."""


_CONVOLUTIONS: dict[type[nn.Conv1d | nn.Conv2d | nn.Conv3d], Callable[..., Tensor]] = {
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
}


def convolve(
    function: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """Convolve, in float32 if ``x`` is in half precision on a CPU.

    Args:
        function: One of ``torch.nn.functional.conv1d`` to ``conv3d``, or one with the same
            arguments.
        x: Input, any floating-point dtype.
        weight: Kernel in the same dtype.
        bias: ``None`` for none.
        options: Passed on to ``function``.

    Returns:
        The result in the dtype of ``x``.
    """
    if x.device.type != "cpu" or x.dtype not in HALF:
        return function(x, weight, bias, **options)
    wide_bias = None if bias is None else bias.float()
    return function(x.float(), weight.float(), wide_bias, **options).to(x.dtype)


def guard_convolutions(network: nn.Module) -> None:
    """Make all convolution layers of ``network``, a library's too, use :func:`convolve`."""
    for layer in network.modules():
        for kind, function in _CONVOLUTIONS.items():
            if isinstance(layer, kind):
                # Nothing here refers to the layer: it would keep its own weights alive.
                layer._conv_forward = partial(convolve, function, **_options(layer))  # type: ignore[method-assign]


def _options(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> dict[str, Any]:
    """Return what a layer convolves with other than its weights."""
    assert layer.padding_mode == "zeros", layer.padding_mode
    names = ("stride", "padding", "dilation", "groups")
    return {name: getattr(layer, name) for name in names}


def check_half_precision(device: torch.device, dtype: torch.dtype) -> None:
    """Check that matrix products and attention in ``dtype`` are right on ``device``.

    Only half precision on a CPU is tried out, once in a process; it takes milliseconds.

    Raises:
        InvalidInputError: If a result differs from float32 by more than :data:`MAX_ERROR`.
    """
    if device.type != "cpu" or dtype not in HALF:
        return
    name, error = _worst_error(dtype)
    if not error <= MAX_ERROR:  # NaN is wrong, too
        raise InvalidInputError(
            f"dtype {str(dtype).removeprefix('torch.')}: this processor computes the {name} "
            f"wrongly in it (relative error {error:.2g}, at most {MAX_ERROR:g}); use float32"
        )


@cache
def _worst_error(dtype: torch.dtype) -> tuple[str, float]:
    """Return the operation with the largest error, NaN before all, and that error."""
    errors = {name: _error(operation, inputs, dtype) for name, operation, inputs in _operations()}
    return max(errors.items(), key=lambda item: (item[1] != item[1], item[1]))


def _operations() -> Iterator[tuple[str, Callable[..., Tensor], tuple[Tensor, ...]]]:
    """Yield what is tried: a name, the operation, and float32 inputs."""
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator)
    for rows, inputs, outputs in _SIZES:
        size = f"{rows}x{inputs}x{outputs}"
        weight, bias = draw(outputs, inputs), draw(outputs)
        yield f"matrix product {size}", F.linear, (draw(rows, inputs), weight, bias)
        heads = draw(3, 2, 4, rows, inputs)
        yield f"attention {rows}x{inputs}", F.scaled_dot_product_attention, tuple(heads)


def _error(
    operation: Callable[..., Tensor], inputs: tuple[Tensor, ...], dtype: torch.dtype
) -> float:
    """Return the relative rms error of ``operation`` on inputs rounded to ``dtype``."""
    rounded = [value.to(dtype) for value in inputs]
    exact = operation(*(value.float() for value in rounded))
    found = operation(*rounded).float()
    return float((found - exact).norm() / exact.norm())
