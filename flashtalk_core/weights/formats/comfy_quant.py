"""Matrices that ComfyUI has quantised: what their file says of them, and how they are unpacked.

A layer is described by JSON, in a tensor ``comfy_quant`` beside its weight or for all layers in the
header. Without it nothing is guessed: a weight that was rotated before it was rounded looks like
any other.

Source: ComfyUI's ``QUANTIZATION.md`` and ``comfy/quant_ops.py`` @ 0.33.

Axis legend: R rows, C columns, n blocks of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from ...excerpt import excerpt
from ...json_text import parse_json
from ...quantization.packed import scaled
from ...quantization.packed.packing import Parts
from .source import StoredForm, TensorInfo

CONFIG_SUFFIX = ".comfy_quant"
"""Of the tensor that describes a layer."""
HEADER_KEY = "_quantization_metadata"
"""Of a header's text that describes layers."""
_FP8 = {
    "float8_e4m3fn": (torch.float8_e4m3fn, scaled.FP8_E4M3),
    "float8_e5m2": (torch.float8_e5m2, scaled.FP8_E5M2),
}
_MAX_GROUP = 4096

Dtypes = Mapping[str, torch.dtype | None]
"""Types of the stored tensors, those of whole numbers included, by name."""
Infos = Mapping[str, TensorInfo]
Config = Mapping[str, Any]


def layer_configs(text: str | None, stored: Mapping[str, bytes]) -> dict[str, Config]:
    """Return what a file says of its layers, by their names.

    Args:
        text: The header's text, if it has one.
        stored: Content of each layer's own description.

    Raises:
        ValueError: If one is no JSON of that form.
    """
    found = {name: parse_json(content) for name, content in stored.items()}
    if text is not None:
        described = parse_json(text)
        layers = described.get("layers") if isinstance(described, dict) else None
        if not isinstance(layers, dict):
            raise ValueError(f"{HEADER_KEY} names no layers")
        found = {**layers, **found}
    for name, config in found.items():
        if not isinstance(config, dict) or not isinstance(config.get("format"), str):
            raise ValueError(f"layer {excerpt(name)} is described by {excerpt(config)}")
    return found


def with_forms(
    infos: Infos, dtypes: Dtypes, configs: Mapping[str, Config]
) -> dict[str, TensorInfo]:
    """Return ``infos`` with shape and form of each quantised weight.

    Args:
        infos: Of the stored tensors.
        dtypes: Types of these.
        configs: As :func:`layer_configs` returns them.

    Raises:
        ValueError: If a format is not known, or what belongs to it is missing or of another shape.
    """
    found = dict(infos)
    for layer, config in configs.items():
        name = f"{layer}.weight"
        if name not in infos:
            continue
        make = _MAKERS.get(config["format"])
        if make is None:
            raise ValueError(
                f"layer {excerpt(layer)} is of the format {excerpt(config['format'])}, known are "
                f"{', '.join(_MAKERS)}"
            )
        found[name] = make(_Layer(layer, infos, dtypes, config))
    return found


class _Layer:
    """Tensors of one layer."""

    def __init__(self, name: str, infos: Infos, dtypes: Dtypes, config: Config) -> None:
        self.name, self.config = name, config
        self._infos, self._dtypes = infos, dtypes

    def dtype(self, leaf: str) -> torch.dtype | None:
        """Return the type of a tensor; ``None`` if there is none, or it is of another type."""
        return self._dtypes.get(f"{self.name}.{leaf}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the stored weight."""
        return self._infos[f"{self.name}.weight"].shape

    def size(self) -> tuple[int, int]:
        if len(self.shape) != 2:
            raise ValueError(f"layer {excerpt(self.name)} has a weight of shape {self.shape}")
        return self.shape[0], self.shape[1]

    def check(self, leaf: str, *dtypes: torch.dtype) -> str:
        """Return the name of a tensor, which must be there and of one of these types."""
        name = f"{self.name}.{leaf}"
        if self.dtype(leaf) not in dtypes:
            expected = " or ".join(str(each).removeprefix("torch.") for each in dtypes)
            raise ValueError(
                f"{excerpt(name)} is to be {expected}, for a layer of the format "
                f"{excerpt(self.config['format'])}"
            )
        return name

    def number_or_rows(self, leaf: str) -> str:
        """Return the name of a scale, one for all or one for each row."""
        name = self.check(leaf, torch.float32, torch.bfloat16, torch.float16)
        self._check_count(name, 1, self.size()[0])
        return name

    def number(self, leaf: str) -> str:
        name = self.check(leaf, torch.float32, torch.bfloat16, torch.float16)
        self._check_count(name, 1)
        return name

    def swizzled(self, leaf: str, num_rows: int, num_blocks: int, *dtypes: torch.dtype) -> str:
        """Return the name of a scale for each block, in the order that cuBLAS wants."""
        name = self.check(leaf, *dtypes)
        self._check_count(name, prod(scaled.swizzled_size(num_rows, num_blocks)))
        return name

    def _check_count(self, name: str, *counts: int) -> None:
        shape = self._infos[name].shape
        if prod(shape) not in counts:
            raise ValueError(
                f"{excerpt(name)} has shape {shape}, need {' or '.join(map(str, counts))} "
                f"number(s) for a weight of shape {self.shape}"
            )


def _fp8(layer: _Layer) -> TensorInfo:
    """Return the form of FP8 that is stored as bytes; other FP8 needs a scale beside it."""
    dtype, packing = _FP8[layer.config["format"]]
    layer.check("weight", dtype, torch.uint8)
    if layer.dtype("weight") == dtype:
        return TensorInfo(layer.shape, dtype, needs_scale=True)
    scale = layer.number_or_rows("weight_scale")

    def arrange(weight: Tensor, factor: Tensor) -> Parts:
        return weight.view(dtype), factor.float().reshape(-1, 1)

    return TensorInfo(layer.size(), torch.float32, StoredForm(packing, (scale,), arrange))


def _int8(layer: _Layer) -> TensorInfo:
    layer.check("weight", torch.int8)
    scale = layer.number_or_rows("weight_scale")
    packing = scaled.INT8
    more = layer.config.get("params")
    config = {**(more if isinstance(more, dict) else {}), **layer.config}
    if config.get("convrot", False):
        group = config.get("convrot_groupsize", 256)
        columns = layer.size()[1]
        if not isinstance(group, int) or not _is_power_of_four(group) or columns % group:
            raise ValueError(
                f"layer {excerpt(layer.name)} was rotated in groups of {excerpt(group)}, need a "
                f"power of 4 that divides {columns} columns"
            )
        packing = scaled.rotated_int8(group)

    def arrange(weight: Tensor, factor: Tensor) -> Parts:
        return weight, factor.float().reshape(-1, 1)

    return TensorInfo(layer.size(), torch.float32, StoredForm(packing, (scale,), arrange))


def _is_power_of_four(number: int) -> bool:
    return 4 <= number <= _MAX_GROUP and number.bit_count() == 1 and number.bit_length() % 2 == 1


def _nvfp4(layer: _Layer) -> TensorInfo:
    layer.check("weight", torch.uint8)
    rows, columns = layer.size()[0], 2 * layer.size()[1]
    blocks = _num_blocks(layer, columns, scaled.NVFP4_BLOCK)
    block_scale = layer.swizzled("weight_scale", rows, blocks, torch.float8_e4m3fn, torch.uint8)
    scale = layer.number("weight_scale_2")

    def arrange(weight: Tensor, block_factors: Tensor, factor: Tensor) -> Parts:
        block_factors = block_factors.view(torch.float8_e4m3fn)
        ordered = scaled.in_order(block_factors, rows, blocks)
        return weight, ordered, factor.float().reshape(1, 1)

    form = StoredForm(scaled.NVFP4, (block_scale, scale), arrange)
    return TensorInfo((rows, columns), torch.float32, form)


def _mxfp8(layer: _Layer) -> TensorInfo:
    layer.check("weight", torch.float8_e4m3fn, torch.uint8)
    rows, columns = layer.size()
    blocks = _num_blocks(layer, columns, scaled.MXFP8_BLOCK)
    exponents = layer.swizzled("weight_scale", rows, blocks, torch.uint8, torch.float8_e8m0fnu)

    def arrange(weight: Tensor, exponent: Tensor) -> Parts:
        ordered = scaled.in_order(exponent.view(torch.uint8), rows, blocks)
        return weight.view(torch.float8_e4m3fn), ordered

    return TensorInfo(
        (rows, columns), torch.float32, StoredForm(scaled.MXFP8, (exponents,), arrange)
    )


def _num_blocks(layer: _Layer, num_columns: int, length: int) -> int:
    if num_columns % length:
        raise ValueError(
            f"layer {excerpt(layer.name)} has {num_columns} columns, need a multiple of {length}"
        )
    return num_columns // length


_MAKERS: dict[str, Callable[[_Layer], TensorInfo]] = {
    "float8_e4m3fn": _fp8,
    "float8_e5m2": _fp8,
    "int8_tensorwise": _int8,
    "mxfp8": _mxfp8,
    "nvfp4": _nvfp4,
}
