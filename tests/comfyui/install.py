"""Finding a ComfyUI on this machine."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

DEFAULT_FOLDER = Path("~/comfy/ComfyUI")
"""Where comfy-cli installs."""
VENVS = (".venv", "venv")
FRONT_END = {
    "comfyui-frontend-package",
    "comfyui-workflow-templates",
    "comfyui-embedded-docs",
}
"""What only a page needs."""
ESSENTIAL = re.compile(r"^[A-Za-z0-9._-]+")
CHECK = """
import sys
from importlib.metadata import PackageNotFoundError, version
for name in sys.argv[1:]:
    try:
        version(name)
    except PackageNotFoundError:
        print(name)
"""


class NoComfyUI(Exception):
    """There is none, or nothing that runs it; the message says what was looked for."""


@dataclass(frozen=True)
class Install:
    """A ComfyUI that can be started."""

    folder: Path
    python: Path

    @property
    def version(self) -> tuple[int, ...]:
        """Of ComfyUI, as its own file says."""
        text = (self.folder / "comfyui_version.py").read_text(encoding="utf-8")
        return tuple(map(int, re.findall(r"\d+", text.partition("__version__")[2])))


def require_install(environ: Mapping[str, str], *, with_page: bool = True) -> Install:
    """Return where ComfyUI is, or skip the test. One that is named but cannot run is an error."""
    try:
        return find_install(environ, with_page=with_page)
    except NoComfyUI as error:
        reason = str(error)
    if any(environ.get(name) for name in ("COMFYUI_PATH", "COMFYUI_PYTHON")):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def find_install(environ: Mapping[str, str], *, with_page: bool = True) -> Install:
    """Find ComfyUI and an interpreter that has what it needs.

    Args:
        environ: May name both.
        with_page: Whether it has to have its page, too.

    Raises:
        NoComfyUI: If there is none.
    """
    folder = Path(environ.get("COMFYUI_PATH") or DEFAULT_FOLDER).expanduser()
    if not (folder / "main.py").is_file():
        raise NoComfyUI(f"no ComfyUI in {folder}; name its folder in COMFYUI_PATH")
    python = _find_python(folder, environ.get("COMFYUI_PYTHON"))
    lacking = _lacking_packages(folder, python, set() if with_page else FRONT_END)
    if lacking:
        raise NoComfyUI(
            f"{python} lacks {', '.join(lacking)}, which {folder}/requirements.txt asks for; "
            "name ComfyUI's own interpreter in COMFYUI_PYTHON"
        )
    return Install(folder, python)


def _find_python(folder: Path, named: str | None) -> Path:
    if named:
        python = Path(named).expanduser()
        if not python.is_file():
            raise NoComfyUI(f"COMFYUI_PYTHON names {python}, which is no file")
        return python
    inside = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    venvs = [place / name for place in (folder, folder.parent) for name in VENVS]
    found = [venv.joinpath(*inside) for venv in venvs if venv.joinpath(*inside).is_file()]
    return found[0] if found else Path(sys.executable)


def _lacking_packages(folder: Path, python: Path, without: set[str]) -> list[str]:
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    essential = lines[: next((i for i, line in enumerate(lines) if line.startswith("#")), None)]
    named = [match.group() for line in essential if (match := ESSENTIAL.match(line))]
    names = [name for name in named if name not in without]
    shown = subprocess.run(
        [python, "-c", CHECK, *names], capture_output=True, text=True, check=True, timeout=60
    )
    return shown.stdout.split()
