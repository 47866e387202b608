"""A kernel with a slower one as fallback."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..excerpt import first_line
from ..log import printable_log

logger = printable_log(logging.getLogger(__name__))


class Fallback:
    """Calls a kernel, and the fallback from its first failure on.

    A kernel may need more shared memory than a GPU has, or a newer compiler; it fails when it is
    built, before anything was computed.
    """

    def __init__(self, name: str, fast: Callable[..., Any], eager: Callable[..., Any]) -> None:
        """Call ``fast`` until it fails, which is logged under ``name``, and then ``eager``."""
        self._name = name
        self._fast = fast
        self._eager = eager
        self._has_failed = False

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Return what the kernels return; running out of memory does not count as a failure."""
        if not self._has_failed:
            try:
                return self._fast(*args, **options)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever Triton, its compiler or the driver raise
                self._has_failed = True
                reason = first_line(error)
                logger.warning(
                    "the fused kernel %r cannot run here, using the slower eager one: %s: %s",
                    self._name, type(error).__name__, reason,
                )  # fmt: skip
        return self._eager(*args, **options)


def fallbacks(names: Iterable[str], fast: object, eager: object) -> dict[str, Fallback]:
    """Pair the operations called ``names`` of two sets of kernels."""
    return {name: Fallback(name, getattr(fast, name), getattr(eager, name)) for name in names}
