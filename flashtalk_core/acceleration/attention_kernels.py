"""Accelerated attention kernels, and the choice of one.

Axis legend: B batch, L tokens, N heads, D head dim.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import InvalidInputError, require
from ..excerpt import excerpt
from ..log import printable_log
from ..models.attention import Attention, sdpa
from ..packages import missing_package

logger = printable_log(logging.getLogger(__name__))


def sdpa_cudnn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with PyTorch's own kernel, by cuDNN where it can."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    order = [
        SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH,
    ]  # fmt: skip
    with sdpa_kernel(order, set_priority=True):
        return sdpa(q, k, v)


def _can_order() -> bool:
    """Whether this PyTorch tries kernels in a given order: those before 2.6 do not."""
    from torch.nn.attention import sdpa_kernel

    return "set_priority" in inspect.signature(sdpa_kernel).parameters


def _flash_attn_3() -> Callable[..., Tensor]:
    if importlib.util.find_spec("fa3_fwd_interface"):
        from fa3_fwd_interface import flash_attn_func
    else:
        from flash_attn_interface import flash_attn_func
    return flash_attn_func


_FLOAT8 = torch.float8_e4m3fn


@runtime_checkable
class AttendsFloat8(Protocol):
    """An attention that can take queries and keys that are in FP8 already."""

    def takes(self, q: Tensor, head_dim: int) -> bool:
        """Whether :meth:`attend_scaled` runs for queries of this device, dtype and width."""
        ...

    def attend_scaled(
        self, q: Tensor, k: Tensor, v: Tensor, q_undo: Tensor, k_undo: Tensor
    ) -> Tensor:
        """Attend.

        Args:
            q: Queries, ``(B, Lq, N, D)`` FP8.
            k: Keys, ``(B, Lk, N, D)`` FP8.
            v: Values, ``(B, Lk, N, D)`` in half precision.
            q_undo: Factors that undo the scaling of ``q``, ``(B, N)`` float32.
            k_undo: The same for ``k``.

        Returns:
            ``(B, Lq, N, D)``, dtype of ``v``.
        """
        ...


class Float8Attention:
    """FlashAttention-3 in FP8; each head of q, k and v has one scale.

    So heads do not depend on each other, and the result not on how many devices share them.
    """

    __name__ = "flash-attn-3-fp8"

    def __init__(self, kernel: Callable[..., Any]) -> None:
        """Attend with ``kernel``, FlashAttention-3's function."""
        self._kernel = kernel

    def takes(self, q: Tensor, head_dim: int) -> bool:
        """Whether queries of this device, dtype and width can be attended from."""
        is_half = q.dtype in (torch.float16, torch.bfloat16)
        return q.device.type == "cuda" and is_half and head_dim in (64, 128, 256)

    def largest(self, x: Tensor) -> Tensor:
        """Return the largest magnitude of each head of ``(B, L, N, D)``, ``(B, N)`` float32."""
        if not x.shape[1]:
            return torch.zeros(x.shape[0], x.shape[2], device=x.device)
        return torch.linalg.vector_norm(x, float("inf"), dim=(1, 3)).float()

    def scale(self, x: Tensor, largest: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scale ``(B, L, N, D)`` to the range of FP8, head by head.

        Args:
            x: Heads.
            largest: The largest magnitudes where more tokens than these count, ``(B, N)``
                float32; ``None`` finds them.

        Returns:
            FP8 values, and the factor that undoes the scaling for each head, ``(B, N)`` float32.
        """
        largest = self.largest(x) if largest is None else largest
        # The factor itself must stay within the range of ``x``'s dtype; some room for rounding.
        factor = 0.99 * torch.finfo(_FLOAT8).max / largest.clamp(min=1e-12)
        factor = factor.clamp(max=torch.finfo(x.dtype).max).to(x.dtype)
        return (x * factor[:, None, :, None]).to(_FLOAT8), 1 / factor.float()

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, q_undo: Tensor, k_undo: Tensor, v_undo: Tensor
    ) -> Tensor:
        """Attend with what :meth:`scale` returns; ``(B, Lq, N, D)`` bfloat16."""
        out = self._kernel(q, k, v, q_descale=q_undo, k_descale=k_undo, v_descale=v_undo)
        return out[0] if isinstance(out, tuple) else out

    def attend_with_lse(
        self, q: Tensor, k: Tensor, v: Tensor, q_undo: Tensor, k_undo: Tensor, v_undo: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Attend as :meth:`attend` does; also the log-sum-exp, ``(B, N, Lq)`` float32."""
        undo = {"q_descale": q_undo, "k_descale": k_undo, "v_descale": v_undo}
        out, lse, *_ = self._kernel(q, k, v, **undo, return_attn_probs=True)
        return out, lse

    def attend_scaled(
        self, q: Tensor, k: Tensor, v: Tensor, q_undo: Tensor, k_undo: Tensor
    ) -> Tensor:
        """Attend; see :class:`AttendsFloat8`."""
        v8, v_undo = self.scale(v)
        return self.attend(q, k, v8, q_undo, k_undo, v_undo).type_as(v)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend; see :class:`Attention`. With few keys scaling does not pay."""
        if not self.takes(q, q.shape[3]) or k.shape[1] < q.shape[1]:
            return sdpa(q, k, v)
        (q8, q_undo), (k8, k_undo) = map(self.scale, (q, k))
        return self.attend_scaled(q8, k8, v, q_undo, k_undo)


def _flash_attn_2() -> Callable[..., Tensor]:
    from flash_attn import flash_attn_func

    return flash_attn_func


def _sage() -> Callable[..., Tensor]:
    from sageattention import sageattn

    return partial(sageattn, tensor_layout="NHD")


@dataclass(frozen=True)
class AttentionKernel:
    """One entry of the table that the factory and ``doctor`` read."""

    name: str
    modules: tuple[str, ...]
    """Any one of these must be installed."""
    distributions: tuple[str, ...]
    """Packages that these modules come from."""
    gain: str
    """What its absence costs, for users."""
    build: Callable[[], Callable[..., Tensor]]
    min_capability: tuple[int, int] = (8, 0)
    """Lowest CUDA compute capability it runs on."""
    max_capability: tuple[int, int] = (99, 0)
    """Highest CUDA compute capability it runs on."""
    head_dims: tuple[int, ...] = ()
    """Head dims that it supports; empty for any multiple of 8 up to 256."""
    has_lse: bool = False
    """Whether it can return the log-sum-exp, which Ring needs (:mod:`.lse_attention`)."""
    exact: bool = True
    """Whether it computes the same up to rounding; others are never chosen automatically."""

    def runs_on(self, device: torch.device) -> bool:
        """Whether ``device`` is an NVIDIA GPU of a generation the kernel was built for."""
        return self.min_capability <= _capability(device) <= self.max_capability

    def takes(self, q: Tensor) -> bool:
        """Whether the kernel takes these queries ``(B, L, N, D)``."""
        if q.device.type != "cuda" or q.dtype not in (torch.float16, torch.bfloat16):
            return False
        width = q.shape[-1]
        return width in self.head_dims if self.head_dims else width % 8 == 0 and width <= 256

    def load(self) -> Attention:
        """Import the kernel; inputs that it does not support go to :func:`sdpa`."""
        kernel = self.build()
        if isinstance(kernel, Float8Attention):
            return kernel

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if not self.takes(q):
                return sdpa(q, k, v)
            out = kernel(q, k, v)
            return out[0] if isinstance(out, tuple) else out

        attend.__name__ = self.name
        return attend


KERNELS = (
    AttentionKernel(
        "flash-attn-3",
        ("fa3_fwd_interface", "flash_attn_interface"),
        ("fa3-fwd", "flash-attn-3"),
        "about twice SDPA's speed on Hopper GPUs",
        _flash_attn_3,
        min_capability=(9, 0),
        max_capability=(9, 9),
        has_lse=True,
    ),
    AttentionKernel(
        "flash-attn-3-fp8",
        ("fa3_fwd_interface", "flash_attn_interface"),
        ("fa3-fwd", "flash-attn-3"),
        "a quarter of the attention's time on Hopper GPUs; FP8",
        lambda: Float8Attention(_flash_attn_3()),
        min_capability=(9, 0),
        max_capability=(9, 9),
        exact=False,
    ),
    AttentionKernel(
        "flash-attn",
        ("flash_attn",),
        ("flash-attn",),
        "speed on Ampere and later",
        _flash_attn_2,
        has_lse=True,
    ),
    AttentionKernel(
        "sage",
        ("sageattention",),
        ("sageattention",),
        "8-bit attention on consumer GPUs",
        _sage,
        head_dims=(64, 96, 128),
        exact=False,
    ),
)


BUILT_IN: dict[str, Attention] = {"sdpa": sdpa, "sdpa-cudnn": sdpa_cudnn}


def attention_name(attention: Attention) -> str:
    """Return the name under which :func:`choose_attention` knows a kernel it returned."""
    return next(
        (name for name, kernel in BUILT_IN.items() if kernel is attention),
        getattr(attention, "__name__", "unknown"),
    )


def is_installed(kernel: AttentionKernel) -> bool:
    """Whether a package of ``kernel`` can be found, without importing it."""
    return any(importlib.util.find_spec(name) is not None for name in kernel.modules)


def choose_attention(name: str = "auto", device: str | torch.device = "cpu") -> Attention:
    """Return the attention kernel called ``name``.

    Args:
        name: ``auto``, ``sdpa``, ``sdpa-cudnn``, or the name of an entry of :data:`KERNELS`.
            ``auto`` takes FlashAttention where it is installed and the device can run it,
            otherwise SDPA, by cuDNN on Hopper.
        device: Device the model will run on.

    Returns:
        The kernel. An installed package that fails to import is reported once and replaced by
        SDPA under ``auto``.

    Raises:
        InvalidInputError: If the named kernel is unknown, not installed, broken, or does not
            run on the device.
    """
    device = torch.device(device)
    if name in BUILT_IN:
        require(
            BUILT_IN[name] is not sdpa_cudnn or _can_order(),
            f"attention {name!r}: PyTorch {torch.__version__} is older than 2.6; use 'sdpa'",
            subject="attention",
        )
        return BUILT_IN[name]
    if name == "auto":
        return _choose_automatically(device)
    for kernel in KERNELS:
        if kernel.name == name:
            return _load_named(kernel, device)
    names = ", ".join(["auto", *BUILT_IN, *(k.name for k in KERNELS)])
    raise InvalidInputError(
        f"attention {excerpt(name)!r} is unknown; use one of: {names}", subject="attention"
    )


def _load_named(kernel: AttentionKernel, device: torch.device) -> Attention:
    require(
        is_installed(kernel),
        f"attention {kernel.name!r}: {missing_package(kernel.distributions[0])}, or use 'sdpa'",
        subject="attention",
    )
    require(
        kernel.runs_on(device),
        f"attention {kernel.name!r}: it does not run on {device}; use 'auto' or 'sdpa'",
        subject="attention",
    )
    try:
        return kernel.load()
    except (ImportError, OSError) as error:
        raise InvalidInputError(
            f"attention {kernel.name!r}: it is installed but cannot be imported ({error}); "
            "reinstall it or use 'sdpa'",
            subject="attention",
        ) from error


def _choose_automatically(device: torch.device) -> Attention:
    for kernel in KERNELS:
        if not kernel.exact or not kernel.runs_on(device) or not is_installed(kernel):
            continue
        try:
            return kernel.load()
        except (ImportError, OSError) as error:
            logger.warning("%s is installed but unusable (%s); using SDPA", kernel.name, error)
    # On Hopper cuDNN's is the fastest of PyTorch's own.
    return sdpa_cudnn if _capability(device)[0] == 9 and _can_order() else sdpa


def _capability(device: torch.device) -> tuple[int, int]:
    """Return the CUDA compute capability of an NVIDIA GPU, zeros for other devices."""
    is_nvidia = device.type == "cuda" and torch.version.hip is None
    return torch.cuda.get_device_capability(device) if is_nvidia else (0, 0)
