"""What a native model's numbers depend on, as text: its weights, and what was patched into it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_NUMBERS = 512
"""Numbers of each end and the middle of a tensor that are looked at: files of 28 GB take a second,
and models that were trained apart differ in all of them."""
_LISTED = 3
_LAYER_SETTINGS = ("dequant_dtype", "patch_dtype")
_HOOKS = ("hook_patches", "injections", "weight_wrapper_patches", "additional_models")
"""What else other nodes attach to a patcher."""


@dataclass(frozen=True)
class ModelIdentity:
    """Identity of a MODEL."""

    text: str
    unknown: str = ""
    """What ``text`` does not tell, for a message; empty if it tells all."""


def weights_identity(module: nn.Module, originals: Mapping[str, Any] | None = None) -> str:
    """Return a hash of some numbers of every parameter.

    Args:
        module: Holds them.
        originals: Values before LoRAs were merged into them, by name; ``None`` is of none.
    """
    digest = hashlib.sha256()
    for name, value in module.named_parameters():
        original = (originals or {}).get(name)
        # ComfyUI keeps the tensor, newer releases with its in-place mark beside it.
        kept = getattr(original, "weight", original)
        _add(digest, name, value if kept is None else kept)
    return digest.hexdigest()


def model_identity(model: ModelPatcher) -> ModelIdentity:
    """Return what tells a MODEL from others: weights, LoRAs, dtype; and what it cannot tell."""
    unknown = list(_other_patches(model))
    parts = [
        _host_identity(),
        str(model.model_dtype()),
        str(getattr(model.model, "manual_cast_dtype", None)),
    ]
    sampling = model.object_patches.get("model_sampling")
    if sampling is not None:  # its shift has no effect: the Chunk Sampler's has
        parts.append(" ".join(kind.__name__ for kind in type(sampling).__mro__))
    parts.append(_linear_kinds(model.model))
    try:
        parts.append(weights_identity(model.model, model.backup))
        parts.append(_lora_identity(model.patches))
    except Exception as error:  # the border of tensors of any loader, which may do anything
        unknown.insert(0, f"weights of a form that cannot be read ({type(error).__name__})")
    if not unknown:
        return ModelIdentity("; ".join(parts))
    more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
    return ModelIdentity("; ".join(parts), f"MODEL with {', '.join(unknown[:_LISTED])}{more}")


def _linear_kinds(module: nn.Module) -> str:
    """Return what computes its matrix products, with what loaders of GGUF files set there."""
    kinds = set()
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            set_there = [getattr(layer, name, None) for name in _LAYER_SETTINGS]
            kinds.add(f"{type(layer).__module__}.{type(layer).__qualname__} {set_there}")
    return "; ".join(sorted(kinds))


def _host_identity() -> str:
    """Return ComfyUI's version, and the attention that it was started with."""
    version = _found("comfyui_version", "__version__")
    attention = _found("comfy.ldm.modules.attention", "optimized_attention")
    return f"{version} {getattr(attention, '__name__', '')}"


def _found(module: str, name: str) -> Any:
    """Return a name of a module of ComfyUI, ``None`` where this one has no such module."""
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


def _other_patches(model: ModelPatcher) -> Iterator[str]:
    """Yield what was patched into a MODEL that has no values to compare."""
    options = model.model_options
    yield from (name for name in options if name != "transformer_options" and options[name])
    inner = options.get("transformer_options", {})
    yield from (name for name in inner if inner[name])
    yield from (name for name in model.object_patches if name != "model_sampling")
    for kind in ("wrappers", "callbacks"):
        entries = getattr(model, kind, {})
        yield from (f"{kind} {name}" for name, found in entries.items() if any(found.values()))
    yield from (name for name in _HOOKS if getattr(model, name, None))


def _lora_identity(patches: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, entries in sorted(patches.items(), key=lambda item: str(item[0])):
        for entry in entries:
            _add(digest, str(name), entry)
    return digest.hexdigest()


def _add(digest: Any, name: str, value: Any) -> None:
    """Add a value and what is in it; tensors by some of their numbers.

    Raises:
        TypeError: If it holds what has no lasting text, such as a function.
    """
    digest.update(name.encode())
    if isinstance(value, Tensor):
        digest.update(f"{tuple(value.shape)} {value.dtype}".encode())
        digest.update(_some_bytes(value.detach()))
    elif value is None or isinstance(value, bool | int | float | str):
        digest.update(repr(value).encode())
    elif isinstance(value, list | tuple):
        for inner in value:
            _add(digest, f"[{len(value)}]", inner)
    elif hasattr(value, "weights"):  # a LoRA, LoHa or LoKr of ComfyUI
        _add(digest, type(value).__name__, value.weights)
    else:
        raise TypeError(f"{name}: {type(value).__name__} has no identity")


def _some_bytes(values: Tensor) -> bytes:
    flat = values.reshape(-1)
    middle = max(0, flat.numel() // 2 - _NUMBERS // 2)
    parts = (flat[:_NUMBERS], flat[middle : middle + _NUMBERS], flat[-_NUMBERS:])
    return b"".join(part.contiguous().view(torch.uint8).cpu().numpy().tobytes() for part in parts)
