"""Which tensor of which source becomes which parameter, checked before any is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..borders import library_border
from ..errors import WeightsError
from ..quantization.packed.linear import PackedLinear, pack_layers
from ..quantization.packed.packing import Packing
from .formats.scaled_fp8 import is_scale_shape, is_sidecar, scale_name
from .formats.shown import shown, some
from .formats.source import ReadTensor, TensorInfo, TensorSource, without_ones
from .lora.merge import LoraMerge
from .mapping.key_maps import KeyMap, Target
from .stored_tensors import Scale, TensorMapping
from .unfilled import unfilled

ModuleT = TypeVar("ModuleT", bound=nn.Module)
ModuleT_contra = TypeVar("ModuleT_contra", bound=nn.Module, contravariant=True)
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class LoadPlan(Generic[ModuleT]):
    """A component that was checked: every parameter has a tensor of its shape."""

    build: Callable[[], ModuleT]
    sources: tuple[tuple[TensorSource, tuple[TensorMapping, ...]], ...]
    merge: LoraMerge | None = None
    """LoRAs to merge into the weights."""
    kept: Mapping[str, Packing] = field(default_factory=dict)
    """Weights that stay packed, of those in :meth:`packings`, where a linear layer has them."""

    def packings(self, prefix: str) -> dict[str, Packing]:
        """Return how matrices are packed in the sources, by parameters that begin with ``prefix``.

        Those that a LoRA is merged into are left out: they cannot stay as they are.
        """
        merged = () if self.merge is None else self.merge.factors
        names = (
            (mapping.targets[0].name, mapping.packing)
            for _source, mappings in self.sources
            for mapping in mappings
        )
        return {
            name: packing
            for name, packing in names
            if packing is not None and name.startswith(prefix) and name not in merged
        }

    def value_of(
        self, mapping: TensorMapping, read: ReadTensor, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        """Read a tensor; where a LoRA is merged into it, it is rounded after that."""
        name = mapping.targets[0].name
        if self.merge is None or name not in self.merge.factors:
            return mapping.read(read, device, dtype)
        return self.merge.merge(name, mapping.read(read, device, torch.float32), dtype)

    def __repr__(self) -> str:
        # A plan of 14B holds thousands of names.
        num_tensors = sum(len(mappings) for _source, mappings in self.sources)
        return f"LoadPlan({num_tensors} tensors of {len(self.sources)} source(s))"


def plan_component(
    build: Callable[[], ModuleT], sources: Iterable[TensorSource], keys: KeyMap
) -> LoadPlan[ModuleT]:
    """Match the tensors of ``sources`` with the parameters of the module that ``build`` makes.

    Args:
        build: Makes the module; called on the meta device here, so nothing is allocated.
        sources: What holds the component, together if there are several.
        keys: How their names are read.

    Raises:
        WeightsError: If a tensor is missing, not known, of another shape, or stored in a form
            that cannot be read.
    """
    sources = tuple(sources)
    label = sources[0].label if sources else ""
    with library_border(lambda why: _impossible(label, why)), unfilled():
        shapes = {name: tuple(value.shape) for name, value in build().named_parameters()}
    planned = []
    found: set[str] = set()
    holders = {name: source for source in sources for name in source.infos}
    for source in sources:
        mappings = tuple(_map_tensors(source, keys, shapes, holders))
        found.update(target.name for mapping in mappings for target in mapping.targets)
        planned.append((source, mappings))
    missing = [name for name in shapes if name not in found]
    if missing:
        raise WeightsError(
            f"{label}: {_some(missing, len(shapes))} missing; the file belongs to another model "
            "or is incomplete, download it again"
        )
    return LoadPlan(build, tuple(planned))


def _impossible(label: str, why: str) -> WeightsError:
    return WeightsError(
        f"{label}: its settings and sizes make no network ({why}); download flashtalk.json or "
        "config.json again"
    )


class LayerHook(Protocol[ModuleT_contra]):
    """Called while a component is loaded, for each layer of one list as soon as it is read."""

    list_name: str
    """Name of the list of layers in the component, such as ``blocks``."""

    def on_module_built(self, module: ModuleT_contra) -> None:
        """Receive the component before anything is read: its parameters are on the meta device."""
        ...

    def on_layer_loaded(self, number: int) -> None:
        """Receive a layer, whose tensors have all been read; they may be moved and changed."""
        ...


def load_module(
    plan: LoadPlan[ModuleT],
    device: torch.device,
    dtype: torch.dtype,
    before_tensor: Callable[[], object] | None = None,
    hooks: Sequence[LayerHook[ModuleT]] = (),
) -> ModuleT:
    """Build the component and stream its tensors, one by one, to where they are used.

    Args:
        plan: Result of :func:`plan_component`.
        device: Of the parameters and buffers.
        dtype: Of the parameters; buffers keep theirs.
        before_tensor: Called before each tensor is read; raises to stop. ``None`` does nothing.
        hooks: Called in this order for each layer of one list, so that the device never holds
            all of it at once; the layers are then read in order, whichever sources
            hold them.

    Returns:
        The component in evaluation mode, its parameters frozen.
    """
    with unfilled():
        module = plan.build()
    _place_buffers(module, device)
    pack_layers(module, plan.kept)
    for hook in hooks:
        hook.on_module_built(module)
    for number, mappings in _in_order(plan, _list_name(hooks)):
        for read, mapping in mappings:
            if before_tensor is not None:
                before_tensor()
            if not _assign_packed(module, mapping, read, device):
                value = plan.value_of(mapping, read, device, dtype)
                for target in mapping.targets:
                    _assign(module, target, value)
        if number is not None:
            for hook in hooks:
                hook.on_layer_loaded(number)
    return module.eval()


def _list_name(hooks: Sequence[LayerHook[ModuleT]]) -> str | None:
    names = {hook.list_name for hook in hooks}
    assert len(names) <= 1, names
    return next(iter(names), None)


def _in_order(
    plan: LoadPlan[ModuleT], list_name: str | None
) -> Iterator[tuple[int | None, Iterator[tuple[ReadTensor, TensorMapping]]]]:
    """Yield layer numbers with the tensors of each; the other tensors come first, as ``None``."""
    if list_name is None:
        for source, mappings in plan.sources:
            with source.reading() as read:
                yield None, iter([(read, mapping) for mapping in mappings])
        return
    prefix = re.compile(rf"{re.escape(list_name)}\.(\d+)\.")

    def number_of(entry: tuple[ReadTensor, TensorMapping]) -> int:
        match = prefix.match(entry[1].targets[0].name)
        return int(match[1]) if match else -1

    with ExitStack() as stack:
        # Sources are memory-mapped: open ones take no memory until they are read.
        opened = [(stack.enter_context(src.reading()), found) for src, found in plan.sources]
        entries = [(read, mapping) for read, mappings in opened for mapping in mappings]
        for number, found in groupby(sorted(entries, key=number_of), number_of):
            yield None if number < 0 else number, found


def _place_buffers(module: nn.Module, device: torch.device) -> None:
    """Move buffers, which are built with values, to ``device``; parameters have none yet."""
    for owner in module.modules():
        for name, value in owner.named_buffers(recurse=False):
            assert not value.is_meta, f"buffer without a value: {name}; make it with device='cpu'"
            setattr(owner, name, value.to(device))


def _map_tensors(
    source: TensorSource,
    keys: KeyMap,
    shapes: dict[str, tuple[int, ...]],
    holders: Mapping[str, TensorSource],
) -> Iterable[TensorMapping]:
    unknown = []
    for name, info in source.infos.items():
        targets = keys.rename(name)
        known = all(target.name in shapes for target in targets)
        if is_sidecar(name) or keys.is_ignored(name):
            continue
        if not known:
            unknown.append(name)
            continue
        scale_of_it = None if info.form is not None else scale_name(name, holders)
        scale = None if scale_of_it is None else _scale(scale_of_it, source, holders)
        _check_stored(source, name, info, scale)
        for target in targets:
            _check_shape(source, name, info, target, shapes[target.name])
        yield TensorMapping(name, info, scale, targets)
    if unknown:
        raise WeightsError(
            f"{source.label}: {_some(unknown, len(source.infos))} not known; "
            "is this the right file for this model?"
        )


def _scale(name: str, source: TensorSource, holders: Mapping[str, TensorSource]) -> Scale:
    is_beside = name in source.infos
    return Scale(name, source if is_beside else holders[name], is_beside)


def _some(names: list[str], total: int) -> str:
    return f"{len(names)} of {total} tensors ({some(names, _NAMES_SHOWN)}) are"


def _check_stored(source: TensorSource, name: str, info: TensorInfo, scale: Scale | None) -> None:
    if info.dtype is None:
        raise WeightsError(
            f"{source.label}: tensor {shown(name)} is stored in a quantised form that is not read; "
            "take the bf16, fp16, fp8 or GGUF version of this file"
        )
    if scale is None:
        if info.needs_scale:
            raise WeightsError(
                f"{source.label}: {shown(name)} is described as FP8 with a scale, and no file has "
                "that; download all files of it again, or take the bf16, fp16 or GGUF version"
            )
        return
    stored = scale.source.infos[scale.name]
    if not is_scale_shape(stored.shape, info.shape):
        raise WeightsError(
            f"{scale.source.label}: {shown(scale.name)} has shape {stored.shape}, expected one "
            f"number or one for each row of {info.shape}; take the bf16, fp16 or fp8 scaled version"
        )
    if stored.dtype is None:
        raise WeightsError(
            f"{scale.source.label}: {shown(scale.name)} is no floating-point scale; take the bf16, "
            "fp16 or fp8 scaled version of this file"
        )


def _check_shape(
    source: TensorSource, name: str, info: TensorInfo, target: Target, expected: tuple[int, ...]
) -> None:
    """Compare shapes; some vectors are stored with axes of length 1."""
    whole = (expected[0] * target.num_parts, *expected[1:]) if target.num_parts > 1 else expected
    if without_ones(info.shape) != without_ones(whole):
        raise WeightsError(
            f"{source.label}: tensor {shown(name)} has shape {info.shape}, expected {whole}; the "
            "file belongs to another model or is damaged, download it again"
        )


def _assign_packed(
    module: nn.Module, mapping: TensorMapping, read: ReadTensor, device: torch.device
) -> bool:
    """Give a packed layer its weight as it is stored; return whether the tensor was one."""
    owner, _, leaf = mapping.targets[0].name.rpartition(".")
    layer = module.get_submodule(owner)
    if not isinstance(layer, PackedLinear) or leaf != "weight":
        return False
    layer.set_parts(mapping.read_parts(read, device))
    return True


def _assign(module: nn.Module, target: Target, value: Tensor) -> None:
    owner, _, leaf = target.name.rpartition(".")
    submodule = module.get_submodule(owner)
    if target.num_parts > 1:
        # Not along the first axis: that may be a leading one of length 1.
        value = value.reshape(target.num_parts, -1)[target.part].clone()
    value = value.view(getattr(submodule, leaf).shape)
    setattr(submodule, leaf, nn.Parameter(value, requires_grad=False))
