"""On a Python or a ComfyUI that is too old the pack says so in one line and loads nothing."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
ENTRY = ROOT / "__init__.py"
# As ComfyUI loads a pack; its log goes to standard error.
SCRIPT = f"""
import importlib.util, logging, sys
sys.path.insert(0, sys.argv[1])
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
before = set(sys.modules)
spec = importlib.util.spec_from_file_location(
    "a pack", {str(ENTRY)!r}, submodule_search_locations=[{str(ROOT)!r}]
)
module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(*(name for name in sys.modules if name.startswith("a pack")), sep="|")
print([hasattr(module, name) for name in ("comfy_entrypoint", "WEB_DIRECTORY")])
"""


def old_python():
    """Return a Python 3.10 that runs; pyenv's shim of that name may not."""
    found = [shutil.which("python3.10"), *Path.home().glob(".pyenv/versions/3.10.*/bin/python")]
    for python in filter(None, found):
        asked = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
        if asked.stdout.startswith("Python 3.10"):
            return str(python)
    return None


@pytest.fixture
def load(tmp_path):
    """Load the pack in a ComfyUI of some version; return the log, what it imported and offers."""

    def load(version, python=sys.executable):
        (tmp_path / "comfy_api").mkdir()
        (tmp_path / "comfy_api" / "__init__.py").touch()
        if version:
            (tmp_path / "comfyui_version.py").write_text(f"__version__ = {version!r}\n")
        done = subprocess.run(
            [python, "-I", "-c", SCRIPT, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stderr.splitlines(), done.stdout.splitlines()

    return load


def lowest(name):
    """Return a constant of the entry point."""
    for node in ast.parse(ENTRY.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


def test_an_older_python_can_read_the_entry_point():
    ast.parse(ENTRY.read_text("utf-8"), feature_version=(3, 10))


def test_an_older_python_is_reported_in_one_line(load):
    python = old_python()
    if python is None:
        pytest.skip("no Python 3.10 on this machine")
    log, (imported, offered) = load("99.0.0", python)
    assert len(log) == 1
    assert re.fullmatch(
        r"ERROR FlashTalk needs Python 3\.11 or later; this ComfyUI runs on 3\.10\.\d+ \(.*\)\. "
        r"Its nodes are not loaded; install ComfyUI with a newer Python",
        log[0],
    )
    assert imported == "a pack"
    assert offered == "[False, False]"


@pytest.mark.parametrize("version", ["0.3.64", "0.9.2", "0.9"])
def test_an_older_comfyui_is_reported_in_one_line(load, version):
    log, (imported, offered) = load(version)
    floor = ".".join(map(str, lowest("LOWEST_COMFYUI")))
    assert log == [
        f"ERROR FlashTalk needs ComfyUI {floor} or later; this is {version}. "
        "Its nodes are not loaded; update ComfyUI"
    ]
    assert imported == "a pack"
    assert offered == "[False, False]"


@pytest.mark.parametrize(
    "version", ["99.0.0", "1.0.0rc1", "1.0", "0.11", "0.11.0rc1", "nightly", None]
)
def test_a_version_that_is_newer_or_unknown_goes_on_to_the_nodes(load, version):
    log, _ = load(version)
    # They fail here: what stands in for ComfyUI is empty.
    assert "comfy_api.latest" in log[-1]
    assert not any("FlashTalk needs" in line for line in log)


def test_the_readme_names_the_lowest_versions():
    readme = (ROOT / "README.md").read_text("utf-8")
    major, minor, _ = lowest("LOWEST_COMFYUI")
    python = ".".join(map(str, lowest("LOWEST_PYTHON")))
    assert f"You need ComfyUI {major}.{minor} or later on Python {python} or later" in readme


def test_the_lowest_versions_equal_those_in_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    python = project["project"]["requires-python"].removeprefix(">=").split(".")
    assert tuple(map(int, python)) == lowest("LOWEST_PYTHON")
    tried = project["tool"]["comfy"]["requires-comfyui"].removeprefix(">=").split(".")
    assert tuple(map(int, tried)) == lowest("LOWEST_COMFYUI")
