"""A real ComfyUI, in a folder of its own, with this pack as a custom node."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .install import Install

PACK = Path(__file__).parents[2]
PACK_NAME = "ComfyUI-FlashTalk"
BOOT_LIMIT_S = 300
STOP_LIMIT_S = 20
NOT_COPIED = (".git", ".*cache", "__pycache__", "data", "runs", "tests", "build", "dist", ".venv")


class BootError(Exception):
    """ComfyUI ended, or did not answer in time; the message holds its log."""


class Server:
    """The process, what it was given and what it says."""

    def __init__(
        self,
        install: Install,
        base: Path,
        flags: Sequence[str] = ("--cpu",),
        log_name: str = "comfyui.log",
    ):
        self.base = base
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = base / log_name
        self.boot_log = ""
        self._mark = 0
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                _command(install, base, self.port, flags),
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=base,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            )

    @property
    def pid(self):
        return self._process.pid

    def wait_until_ready(self):
        deadline = time.monotonic() + BOOT_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BootError(f"ComfyUI did not start; its log:\n{self.log()}")
            time.sleep(0.2)
        self.boot_log = self.log()

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def begin_part(self):
        """Let :meth:`part` begin here."""
        self._mark = self.log_path.stat().st_size

    def part(self):
        """Return what was logged since :meth:`begin_part`."""
        return self.log_path.read_bytes()[self._mark :].decode("utf-8", "replace")

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/system_stats", timeout=5):
                return True
        except OSError:
            return False


def make_base(base: Path, nodes: Path) -> Path:
    """Make the folders ComfyUI works in, with this pack and the file ``nodes`` as custom nodes."""
    for name in ("custom_nodes", "input", "output", "models"):
        (base / name).mkdir()
    target = base / "custom_nodes" / PACK_NAME
    if sys.platform == "win32":  # links need a privilege there
        shutil.copytree(PACK, target, ignore=shutil.ignore_patterns(*NOT_COPIED))
    else:
        target.symlink_to(PACK, target_is_directory=True)
    shutil.copy(nodes, base / "custom_nodes")
    return base


def add_log(item: Any, report: Any) -> Any:
    """Return the report of a test, with what its server logged if it failed."""
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and server is not None:
        report.sections.append((f"ComfyUI, all of it in {server.log_path}", server.part()))
    return report


def _command(install: Install, base: Path, port: int, flags: Sequence[str]) -> list[str]:
    return [
        str(install.python),
        str(install.folder / "main.py"),
        *(*flags, "--disable-auto-launch", "--disable-api-nodes"),
        *("--base-directory", str(base), "--port", str(port)),
        *("--database-url", "sqlite:///:memory:"),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
