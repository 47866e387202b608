"""Networks that are built without values, which come from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_FILLS = frozenset(
    getattr(nn.init, name)
    for name in ("kaiming_uniform_", "normal_", "ones_", "uniform_", "xavier_uniform_", "zeros_")
)


class _WithoutFilling(TorchFunctionMode):
    """Leaves out what fills parameters at random: half of the time, and nothing to see on meta."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _FILLS and args:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def unfilled() -> Iterator[None]:
    """Let modules be built on the meta device, where nothing is allocated."""
    with torch.device("meta"), _WithoutFilling():
        yield
