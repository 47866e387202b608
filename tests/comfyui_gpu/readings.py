"""What a ComfyUI takes, seen from outside: its own count, the driver's and the system's."""

import json
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flashtalk_core.bench.soak.readings import read_process

GB = 1e9


@dataclass(frozen=True)
class Memory:
    """At one moment, GB."""

    device: float
    """In use on the GPU, by whatever process."""
    reserved: float
    """Of it by torch in ComfyUI."""
    driver: float | None
    """In use as nvidia-smi shows it; ``None`` without."""
    host: float
    """Resident memory of the process."""
    host_own: float
    """Of it neither files nor shared memory."""
    handles: int
    threads: int


def read_memory(client: Any, pid: int) -> Memory:
    """Read the memory of a server.

    Args:
        client: Of the server.
        pid: Its process.
    """
    device = client.get_json("/system_stats")["devices"][0]
    process = read_process(0, pid)
    return Memory(
        device=_gb(device["vram_total"] - device["vram_free"]),
        reserved=_gb(device["torch_vram_total"]),
        driver=_driver(),
        host=_gb(process.rss_mb * 1e6),
        host_own=_gb(_anonymous_bytes(pid)),
        handles=process.handles,
        threads=process.threads,
    )


def _gb(num_bytes: float) -> float:
    return round(num_bytes / GB, 3)


def _anonymous_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return 1024 * int(fields["RssAnon"].split()[0])


def _driver() -> float | None:
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return _gb(float(shown.stdout.split()[0]) * 2**20)


@dataclass
class Report:
    """Rows in order of time; a file holds them from the first one on, whatever ends the run."""

    path: Path | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    _start_s: float = field(default_factory=time.monotonic)

    def add(self, server: str, what: str, memory: Memory | None = None, **values: Any) -> None:
        """Add a row.

        Args:
            server: Options of the server, or what else did it.
            what: What was done.
            memory: After it.
            values: Seconds, frames a second and others.
        """
        row = {"at_s": round(time.monotonic() - self._start_s, 1), "server": server, "what": what}
        row |= {name: round(v, 3) if isinstance(v, float) else v for name, v in values.items()}
        self.rows.append(row | ({} if memory is None else asdict(memory)))
        if self.path is not None:
            self.path.write_text(self.as_json(), encoding="utf-8")

    def as_json(self) -> str:
        """Return a row a line."""
        return "[\n" + ",\n".join(json.dumps(row) for row in self.rows) + "\n]\n"
