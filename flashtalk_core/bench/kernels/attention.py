"""Attention kernels at the sizes of a step: time, and error against float64.

Axis legend: B batch, L tokens, N heads, D head dim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from ...acceleration.attention_kernels import (
    KERNELS,
    AttentionKernel,
    Float8Attention,
    is_installed,
)
from ...excerpt import first_line
from ...models.attention import Attention
from ..stage_clock import measure_one

_CHECKED_QUERIES, _CHECKED_HEADS = 512, 4
_WARMUPS = 3
Heads = tuple[Tensor, Tensor, Tensor]
"""Queries, keys and values, ``(1, L, N, D)`` each."""


@dataclass(frozen=True)
class AttentionRow:
    """One kernel."""

    kernel: str
    attend_ms: float | None
    """Median, with everything that brings its inputs to 8 bits; ``None`` if it failed."""
    tflop_per_s: float | None
    errors: dict[str, float]
    """Relative root mean square of the difference from float64 by kind of input, percent."""
    failure: str = ""


@torch.no_grad()
def bench_attention(
    num_tokens: int, num_heads: int, head_dim: int, device: torch.device, repeats: int
) -> Iterator[AttentionRow]:
    """Measure every kernel that is installed, each alone: one that fails does not end the run.

    Args:
        num_tokens: Queries, and keys.
        num_heads: N.
        head_dim: D.
        device: Where.
        repeats: Measured calls.
    """
    shape = (1, num_tokens, num_heads, head_dim)
    inputs = {name: make(shape, device) for name, make in _INPUTS.items()}
    exact = {name: _exact(heads) for name, heads in inputs.items()}
    for name, attention in _candidates(device):
        try:
            yield _measure(name, attention(), inputs, exact, repeats)
        except Exception as error:  # whatever a compiler, a library or the driver raise
            yield AttentionRow(name, None, None, {}, f"{type(error).__name__}: {first_line(error)}")


def _measure(
    name: str,
    attention: Attention,
    inputs: Mapping[str, Heads],
    exact: Mapping[str, Tensor],
    repeats: int,
) -> AttentionRow:
    errors = {
        kind: 100 * _error(_checked(attention(*heads)), exact[kind])
        for kind, heads in inputs.items()
    }
    first = next(iter(inputs.values()))
    found = measure_one(partial(attention, *first), first[0].device, _WARMUPS, repeats)
    _, length, num_heads, head_dim = first[0].shape
    operations = 4 * length**2 * num_heads * head_dim
    return AttentionRow(name, found.median_ms, operations / found.median_ms / 1e9, errors)


def _candidates(device: torch.device) -> Iterator[tuple[str, Callable[[], Attention]]]:
    """Yield kernels by name, loaded when they are called."""
    for kernel in KERNELS:
        if not is_installed(kernel) or not kernel.runs_on(device):
            continue
        yield kernel.name, kernel.load
        if kernel.name == "flash-attn-3-fp8":
            for name in ("smooth", "centre", "rotate", "smooth, centre, rotate"):
                change = partial(_changed, kernel, frozenset(name.split(", ")))
                yield f"{kernel.name}: {name}", change


def _changed(kernel: AttentionKernel, changes: frozenset[str]) -> Attention:
    """Return FP8 attention with inputs that round less, by slow operations of PyTorch.

    ``smooth`` subtracts the mean of the keys, which the softmax does not see; ``centre`` that of
    the values, and adds it to the result; ``rotate`` multiplies queries and keys by an orthogonal
    matrix, so that no channel stands out.
    """
    attention = kernel.load()
    assert isinstance(attention, Float8Attention)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if "smooth" in changes:
            k = k - k.float().mean(dim=1, keepdim=True).to(k)
        if "rotate" in changes:
            turn = _hadamard(q.shape[3], q.device).to(q)
            q, k = q @ turn, k @ turn
        if "centre" not in changes:
            return attention(q, k, v)
        mean = v.float().mean(dim=1, keepdim=True)
        return (attention(q, k, v - mean.to(v)) + mean).type_as(v)

    return attend


@cache
def _hadamard(size: int, device: torch.device) -> Tensor:
    """Return the orthogonal matrix of ``size``, a power of two, whose numbers are all as large."""
    matrix = torch.ones(1, 1, device=device)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / size**0.5


def _even(shape: tuple[int, ...], device: torch.device) -> Heads:
    """Draw heads of random weights: all channels alike."""
    generator = torch.Generator(device).manual_seed(0)
    draw = partial(torch.randn, shape, generator=generator, device=device, dtype=torch.bfloat16)
    return draw(), draw(), draw()


def _peaked(shape: tuple[int, ...], device: torch.device) -> Heads:
    """Draw queries that tell keys apart: each attends to few of them."""
    q, k, v = _even(shape, device)
    return 3 * q, k, v


def _uneven(shape: tuple[int, ...], device: torch.device) -> Heads:
    """Draw keys and values with a mean in every channel, as those of trained models have."""
    q, k, v = _even(shape, device)
    generator = torch.Generator(device).manual_seed(1)
    means = torch.randn(2, *shape[2:], generator=generator, device=device).to(k)
    return q, k + 3 * means[0], v + means[1]


_INPUTS: dict[str, Callable[[tuple[int, ...], torch.device], Heads]] = {
    "even": _even,
    "peaked": _peaked,
    "uneven": _uneven,
}


def _checked(x: Tensor) -> Tensor:
    """Return the queries and heads that are checked, ``(N, L, D)`` float32."""
    step = max(1, x.shape[1] // _CHECKED_QUERIES)
    return x[0, ::step, :_CHECKED_HEADS].transpose(0, 1).float()


def _exact(heads: Heads) -> Tensor:
    q = _checked(heads[0])
    k, v = (x[0, :, :_CHECKED_HEADS].transpose(0, 1).double() for x in heads[1:])
    weights = torch.softmax(q.double() @ k.transpose(1, 2) * q.shape[2] ** -0.5, dim=-1)
    return (weights @ v).float()


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())
