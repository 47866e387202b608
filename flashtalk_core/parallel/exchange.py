"""The exchange of tokens that a user chooses, checked before any process starts."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import torch

from ..acceleration.kernel_options import EXCHANGES, Exchange
from ..acceleration.lse_attention import attention_with_lse
from ..errors import require
from ..excerpt import excerpt
from ..models.attention import Attention
from ..packages import missing_package
from .groups import sequence_degrees

INSTEAD = "use exchange 'collectives'"
XFUSER = "xfuser==0.4.5"
"""Newer ones import a name that no released yunchang has."""


def check_exchange(exchange: str, ring: int, num_devices: int) -> None:
    """Check the values alone.

    Args:
        exchange: One of :data:`EXCHANGES`.
        ring: Degree of Ring; Ulysses has what it leaves.
        num_devices: Of the render.

    Raises:
        InvalidInputError: If there is no such exchange, or no such division of the devices.
    """
    require(
        exchange in EXCHANGES,
        f"exchange {excerpt(exchange)!r}: use one of {', '.join(EXCHANGES)}",
        subject="exchange",
    )
    require(
        exchange == "collectives" or num_devices > 1,
        f"exchange {exchange!r}: one device has nothing to exchange; name several devices, or "
        "leave it out",
        subject="exchange",
    )
    sequence_degrees(num_devices, ring=ring)


def check_kernels(exchange: Exchange, ring: int, device: torch.device, kernel: Attention) -> None:
    """Check that this machine has the exchange; nothing is imported for that.

    Raises:
        InvalidInputError: If it lacks xfuser, or if the kernel has no log-sum-exp where partial
            results are merged.
    """
    if exchange == "xfuser":
        require(
            device.type == "cuda",
            f"exchange 'xfuser' on {device}: it exchanges between NVIDIA GPUs only; {INSTEAD}",
            subject="exchange",
        )
        check_installed()
    if exchange == "xfuser" or ring > 1:
        attention_with_lse(kernel)


def check_installed() -> None:
    """Raise :class:`InvalidInputError` if xfuser is not installed."""
    require(
        importlib.util.find_spec("xfuser") is not None,
        f"exchange 'xfuser': {missing_package(XFUSER)}, or {INSTEAD}",
        subject="exchange",
    )


def check_heads(num_heads: int, ulysses: int) -> None:
    """Raise :class:`InvalidInputError` if xfuser cannot divide the heads among the devices."""
    require(
        num_heads % ulysses == 0,
        f"exchange 'xfuser': {num_heads} heads do not divide by ulysses {ulysses}; {INSTEAD}",
        subject="exchange",
    )


def check_lengths(lengths: Sequence[int]) -> None:
    """Raise :class:`InvalidInputError` if xfuser cannot divide the tokens, some for each rank."""
    require(
        len(set(lengths)) == 1,
        f"exchange 'xfuser': this size gives its {len(lengths)} ranks {min(lengths)} to "
        f"{max(lengths)} tokens, and they must be equal; {INSTEAD}, or another size",
        subject="exchange",
    )
