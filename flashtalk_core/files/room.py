"""Memory that programs may still take: that of the machine, or of the container."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_GROUPS = "sys/fs/cgroup"


def available_bytes(root: Path = Path("/")) -> int:
    """Return the memory that this process may still take.

    Args:
        root: Where the system's files are.
    """
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    values = dict(line.split(":", 1) for line in lines)
    machine = int(values["MemAvailable"].split()[0]) * 1024
    return min([machine, *(room for room in map(_room, _groups(root)) if room is not None)])


def _groups(root: Path) -> list[Path]:
    """Return the control group of this process and those above it, each of which may be limited."""
    top = root / _GROUPS
    own = ""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            number, _, path = line.split(":", 2)
            own = path.strip("/") if number == "0" else own
    # A container may see its own group as the top, under a path that it does not have.
    return [top / own, *(top / each for each in Path(own).parents)] if own else [top]


def _room(group: Path) -> int | None:
    """Return what a group may still take, ``None`` if it has no limit; files it read can go."""
    try:
        limit, used = (
            (group / name).read_text(encoding="ascii").strip()
            for name in ("memory.max", "memory.current")
        )
        details = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    cached = dict(line.split() for line in details).get("inactive_file", "0")
    return None if limit == "max" else max(0, int(limit) - int(used) + int(cached))
