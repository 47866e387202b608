"""Errors of ranks that ended, failed or did not go on: the cause, not what followed from it."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

from .. import errors
from ..borders import is_out_of_memory
from ..errors import FlashTalkError, NoMemoryError, WorkerError
from .messages import Fault, FaultKind, RankEnded, RankMemory, Ready
from .shared.pages import Pages

_ORDER = ("memory", "input", "internal")
"""Memory that ran out on one rank makes the exchanges of others fail."""
_AFTER = (signal.SIGABRT,)
"""Signals by which libraries end a rank after another one has ended."""


def fault_of(error: Exception, *, command: int, rank: int, phase: str) -> Fault:
    """Return what a process reports of an error.

    Args:
        error: What a command raised.
        command: Its number.
        rank: Of the process.
        phase: What it was doing, as the end of a sentence.
    """
    kind: FaultKind = "internal"
    if isinstance(error, FlashTalkError):
        kind = "input"
    elif is_out_of_memory(error):
        kind = "memory"
    return Fault(
        command=command,
        rank=rank,
        kind=kind,
        error=type(error).__name__,
        message=str(error),
        subject=error.subject if isinstance(error, FlashTalkError) else None,
        phase=phase,
    )


def first_cause(faults: Sequence[Fault]) -> Fault:
    """Return the fault that led to the others: by its kind, since times say little."""
    return min(faults, key=lambda fault: (_ORDER.index(fault.kind), fault.rank))


def rank_name(devices: Sequence[str], rank: int) -> str:
    """Return how a user knows a rank."""
    device = devices[rank]
    kind, _, index = device.partition(":")
    return f"GPU {index or 0} (rank {rank})" if kind == "cuda" else f"{device} (rank {rank})"


def fault_error(
    fault: Fault, devices: Sequence[str], log: str, *, has_ended: bool = False
) -> FlashTalkError:
    """Return the error of a fault.

    Args:
        fault: What a rank reported.
        devices: One for each rank.
        log: Path of the ranks' log.
        has_ended: Whether the processes were ended, since the others did not stop.
    """
    name = rank_name(devices, fault.rank)
    ended = "; all its processes were ended" if has_ended else ""
    if fault.kind == "input":
        kind = getattr(errors, fault.error, FlashTalkError)
        found = kind if isinstance(kind, type) and issubclass(kind, FlashTalkError) else None
        return (found or FlashTalkError)(fault.message, subject=fault.subject)
    if fault.kind == "memory":
        return NoMemoryError(
            f"{name}: out of memory {fault.phase} ({fault.message.partition(chr(10))[0]}){ended}; "
            "decode fewer latents at once, use float8, a smaller size or more GPUs",
            subject="devices",
        )
    return WorkerError(
        f"{name}: {fault.error} {fault.phase}: {fault.message.partition(chr(10))[0]}{ended}; "
        f"log: {log}"
    )


def is_cause(death: RankEnded) -> bool:
    """Whether a death led to others; an exit, or an abort, may come from an exchange that broke."""
    return death.code < 0 and -death.code not in _AFTER


def death_error(
    deaths: Sequence[RankEnded],
    devices: Sequence[str],
    launcher_code: int | None,
    pages: Pages,
    log: str,
    *,
    seen: int | None,
) -> WorkerError:
    """Return the error of processes that ended.

    Args:
        deaths: In the order in which the launcher saw them.
        devices: One for each rank.
        launcher_code: Exit code of the launcher, ``None`` while it runs.
        pages: What the ranks wrote about themselves.
        log: Path of the ranks' log.
        seen: Rank whose channel ended, ``None`` of the launcher's.
    """
    first = min(deaths, key=lambda death: not is_cause(death), default=None)
    if first is not None:
        rank, how = first.rank, how_ended(first.code)
    elif launcher_code is None and seen is not None:
        rank, how = seen, "ended"
    else:
        how = "ended" if launcher_code is None else how_ended(launcher_code)
        return WorkerError(
            f"devices {', '.join(devices)}: the launcher of their processes {how}; log: {log}"
        )
    progress = pages.row(rank).read()
    return WorkerError(f"{rank_name(devices, rank)} {how} {progress}; log: {log}")


def hang_error(
    devices: Sequence[str], rank: int, limit_s: float, pages: Pages, log: str
) -> WorkerError:
    """Return the error of a rank that did not go on for ``limit_s`` seconds."""
    progress = pages.row(rank).read()
    return WorkerError(
        f"{rank_name(devices, rank)}: no progress for {limit_s:g} s {progress}; all processes of "
        f"the devices were ended; log: {log}"
    )


def check_memory(
    devices: Sequence[str],
    memory: Mapping[int, RankMemory],
    needed_bytes: int,
    own_bytes: int = 0,
) -> None:
    """Check that a render finds its memory on each device, before it reads weights.

    Args:
        devices: One for each rank.
        memory: What ranks found on GPUs. What one holds serves the next render, too.
        needed_bytes: The most that a render takes on each device.
        own_bytes: What may have come to a process since its start, apart from tensors: kernels
            and buffers, which are of no render.

    Raises:
        NoMemoryError: If one has less.
    """
    for rank, found in sorted(memory.items()):
        if found.free_bytes + found.held_bytes + own_bytes < needed_bytes:
            held = f", {found.held_bytes / 1e9:.1f} GB it holds" if found.held_bytes else ""
            raise NoMemoryError(
                f"{rank_name(devices, rank)}: {found.free_bytes / 1e9:.1f} GB are free{held}, and "
                f"a render takes up to {needed_bytes / 1e9:.1f} GB on each device; free some, use "
                "float8 or offload, or leave it out",
                subject="devices",
            )


def version_error(devices: Sequence[str], ready: Mapping[int, Ready]) -> WorkerError:
    """Return the error of ranks that run different versions: of the first, and one that differs."""
    first = ready[0]
    other = next(each for each in ready.values() if each.versions != first.versions)
    shown = (
        f"{rank_name(devices, each.rank)} runs {', '.join(each.versions)}"
        for each in (first, other)
    )
    return WorkerError(f"{' and '.join(shown)}; they need the same, of one installation")


def how_ended(code: int) -> str:
    """Return how a process ended, as a verb."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed (signal {-code})"
