"""The same render without ComfyUI, timed from outside."""

import os
import re
import subprocess
import time
from pathlib import Path

from tests.comfyui.graphs import PORTRAIT, SIZE_PX, SPEECH
from tests.comfyui.install import Install
from tests.comfyui.server import PACK

from .session import CHUNK_FRAMES, STEPS

WRITTEN = re.compile(r"\] (\d+)/(\d+) frames")


def pace_of_command_line(
    install: Install, base: Path, duration_s: float, *, is_small: bool
) -> float:
    """Return frames a second from the second chunk on, or whichever is reported after it.

    Args:
        install: Its interpreter has what the command line needs.
        base: Folder of models and inputs.
        duration_s: Of the video.
        is_small: Whether it renders what prompts on a CPU do.
    """
    size = (
        ("--size", f"{SIZE_PX}x{SIZE_PX}", "--steps", "1") if is_small else ("--steps", f"{STEPS}")
    )
    command = [
        *(str(install.python), "-m", "flashtalk_core", "render"),
        *("--image", str(base / "input" / PORTRAIT), "--audio", str(base / "input" / SPEECH)),
        *("--model", str(base / "models"), "--duration", str(duration_s)),
        *(*size, "-o", str(base / "command_line.mp4")),
    ]
    lines: list[str] = []
    reports: list[tuple[float, int]] = []
    with subprocess.Popen(
        command, cwd=PACK, env=dict(os.environ), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if found := WRITTEN.search(line):
                reports.append((time.monotonic(), int(found[1])))
    assert process.returncode == 0, "".join(lines)
    later = [each for each in reports[:-1] if each[1] >= 2 * CHUNK_FRAMES]
    (start_s, before), (end_s, total) = (later or reports)[0], reports[-1]
    return (total - before) / (end_s - start_s)
