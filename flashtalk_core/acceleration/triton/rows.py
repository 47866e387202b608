"""Norms, sums, activations and scaling of rows, each in one pass over memory.

One program works on one row. A row is cut into a first part, the largest power of two in it, and
a rest, because Triton's blocks are powers of two: 5,120 are 4,096 and 1,024.

Axis legend: L rows (tokens), C channels, D head dim, A audio tokens.
"""

from __future__ import annotations

import triton
import triton.language as tl

LARGEST = tl.constexpr(448.0)
"""Largest number of FP8 (e4m3)."""


@triton.jit
def _read(x, at, inside):
    return tl.load(x + at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _read_sum(
    x,
    branch,
    gate,
    total,
    row,
    columns,
    width: tl.constexpr,
    has_branch: tl.constexpr,
    has_gate: tl.constexpr,
):
    inside = columns < width
    at = row * width + columns
    value = _read(x, at, inside)
    if has_branch:
        other = _read(branch, at, inside)
        if has_gate:
            other *= _read(gate, columns, inside)
        rounded = (value + other).to(total.dtype.element_ty)
        tl.store(total + at, rounded, mask=inside)
        value = rounded.to(tl.float32)
    return value


@triton.jit
def _normal(
    value,
    mean,
    rstd,
    scale,
    shift,
    columns,
    width: tl.constexpr,
    plus_one: tl.constexpr,
):
    inside = columns < width
    factor = _read(scale, columns, inside)
    if plus_one:
        factor += 1.0
    return (value - mean) * rstd * factor + _read(shift, columns, inside)


@triton.jit
def _deviation(value, mean, columns, width: tl.constexpr):
    centred = tl.where(columns < width, value - mean, 0.0)
    return tl.sum(centred * centred, axis=0)


@triton.jit
def _largest(value, columns, width: tl.constexpr):
    return tl.max(tl.where(columns < width, tl.abs(value), 0.0), axis=0)


@triton.jit
def _write(value, factor, out, row, columns, width: tl.constexpr):
    at = row * width + columns
    tl.store(out + at, (value * factor).to(out.dtype.element_ty), mask=columns < width)


@triton.jit
def _row_factor(largest, factors, row):
    """Write the factor that undoes the scaling of a row; return the one that scales it."""
    undo = tl.maximum(largest, 1e-12) / LARGEST
    tl.store(factors + row, undo)
    return 1.0 / undo


@triton.jit
def _clamp(value, factor):
    return tl.minimum(tl.maximum(value * factor, -LARGEST), LARGEST)


@triton.jit
def add_norm(
    x,
    branch,
    gate,
    scale,
    shift,
    total,
    out,
    factors,
    eps,
    width: tl.constexpr,
    first: tl.constexpr,
    rest: tl.constexpr,
    has_branch: tl.constexpr,
    has_gate: tl.constexpr,
    has_norm: tl.constexpr,
    plus_one: tl.constexpr,
    float8: tl.constexpr,
):
    """Write ``x + branch * gate`` to ``total`` and its modulated norm to ``out``."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, first)
    value = _read_sum(x, branch, gate, total, row, columns, width, has_branch, has_gate)
    mean = tl.sum(value, axis=0)
    if rest > 0:
        columns2 = first + tl.arange(0, rest)
        value2 = _read_sum(x, branch, gate, total, row, columns2, width, has_branch, has_gate)
        mean += tl.sum(value2, axis=0)
    if has_norm:
        mean /= width
        deviation = _deviation(value, mean, columns, width)
        if rest > 0:
            deviation += _deviation(value2, mean, columns2, width)
        rstd = tl.rsqrt(deviation / width + eps)
        value = _normal(value, mean, rstd, scale, shift, columns, width, plus_one)
        if rest > 0:
            value2 = _normal(value2, mean, rstd, scale, shift, columns2, width, plus_one)
        if float8:
            largest = _largest(value, columns, width)
            if rest > 0:
                largest = tl.maximum(largest, _largest(value2, columns2, width))
            factor = _row_factor(largest, factors, row)
            _write(_clamp(value, factor), 1.0, out, row, columns, width)
            if rest > 0:
                _write(_clamp(value2, factor), 1.0, out, row, columns2, width)
        else:
            _write(value, 1.0, out, row, columns, width)
            if rest > 0:
                _write(value2, 1.0, out, row, columns2, width)


@triton.jit
def _turn(value, table, row, columns, size: tl.constexpr, head_dim: tl.constexpr):
    """Rotate neighbouring pairs by the angles of this row's table."""
    angles = tl.load(table + row * head_dim + columns % head_dim)
    cos, sin = tl.split(tl.reshape(angles, (size // 2, 2)))
    real, imaginary = tl.split(tl.reshape(value, (size // 2, 2)))
    turned = tl.join(real * cos - imaginary * sin, real * sin + imaginary * cos)
    return tl.reshape(turned, (size,))


@triton.jit
def rms(
    x,
    weight,
    table,
    out,
    eps,
    factor,
    width: tl.constexpr,
    first: tl.constexpr,
    rest: tl.constexpr,
    head_dim: tl.constexpr,
):
    """Write rows over their root mean square, scaled and, unless ``head_dim`` is 0, rotated."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, first)
    value = _read(x, row * width + columns, columns < width)
    square = tl.sum(value * value, axis=0)
    if rest > 0:
        columns2 = first + tl.arange(0, rest)
        value2 = _read(x, row * width + columns2, columns2 < width)
        square += tl.sum(value2 * value2, axis=0)
    rstd = tl.rsqrt(square / width + eps)
    value = value * rstd * _read(weight, columns, columns < width)
    if head_dim > 0:
        value = _turn(value, table, row, columns, first, head_dim)
    _write(value, factor, out, row, columns, width)
    if rest > 0:
        value2 = value2 * rstd * _read(weight, columns2, columns2 < width)
        if head_dim > 0:
            value2 = _turn(value2, table, row, columns2, rest, head_dim)
        _write(value2, factor, out, row, columns2, width)


@triton.jit
def _gelu(x):
    """GELU by tanh, written with the logistic function: ``x * sigmoid(2 y)``."""
    return x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))


@triton.jit
def to_linear(
    x,
    out,
    factors,
    width: tl.constexpr,
    first: tl.constexpr,
    rest: tl.constexpr,
    gelu: tl.constexpr,
    float8: tl.constexpr,
):
    """Write rows, after GELU if ``gelu``, in FP8 with a factor each if ``float8``."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, first)
    value = _read(x, row * width + columns, columns < width)
    if gelu:
        value = _gelu(value)
    if rest > 0:
        columns2 = first + tl.arange(0, rest)
        value2 = _read(x, row * width + columns2, columns2 < width)
        if gelu:
            value2 = _gelu(value2)
    if float8:
        largest = _largest(value, columns, width)
        if rest > 0:
            largest = tl.maximum(largest, _largest(value2, columns2, width))
        factor = _row_factor(largest, factors, row)
        value = _clamp(value, factor)
        if rest > 0:
            value2 = _clamp(value2, factor)
    _write(value, 1.0, out, row, columns, width)
    if rest > 0:
        _write(value2, 1.0, out, row, columns2, width)


@triton.jit
def softmax(
    logits,
    bias,
    out,
    scale,
    rows_a_frame,
    width: tl.constexpr,
    groups: tl.constexpr,
    group: tl.constexpr,
):
    """Write the softmax over each group of a row; ``groups`` is a power of two, or more."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, groups * group)
    inside = columns < width
    value = _read(logits, row * width + columns, inside)
    value += _read(bias, (row // rows_a_frame) * width + columns, inside)
    value = tl.reshape(value * scale, (groups, group))
    powers = tl.exp(value - tl.max(value, axis=1)[:, None])
    weights = tl.reshape(powers / tl.sum(powers, axis=1)[:, None], (groups * group,))
    tl.store(out + row * width + columns, weights.to(out.dtype.element_ty), mask=inside)
