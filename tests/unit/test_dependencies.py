"""What is declared to be needed, in every place that says so."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from flashtalk_core.packages import BOUNDS

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MODULES = {"PIL": "pillow"}
"""Distributions that are called otherwise than their module."""
OPTIONAL = {
    # Kernels, each for some GPUs only, found at run time.
    "fa3_fwd_interface", "flash_attn", "flash_attn_interface", "sageattention", "triton",
    # Another exchange between several GPUs, for users who choose it, and what it is built on.
    "xfuser", "yunchang",
    "silero_vad",  # judges what a microphone hears, an extra of its own
    "aiohttp",  # ComfyUI has it: its routes, and the server of live sessions, an extra of its own
    "cv2",  # finds faces, an extra of its own
    "aiortc",  # WebRTC of the live server, an extra of its own
    "spandrel",  # upscaling networks of files, an extra of its own; ComfyUI has it
    "ray",  # for renders on other hosts, an extra of its own
    "_typeshed",  # the type checker alone
    # Figures of the training's report, for which it asks by name.
    "matplotlib",
}  # fmt: skip


def lines_of(name):
    """Return the lines of a requirements file that are no comment."""
    lines = (line.strip() for line in (ROOT / name).read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def requirements(lines):
    return {each.name: each for each in map(Requirement, lines)}


@pytest.fixture(scope="module")
def promised():
    """All that is needed to run, with its bounds."""
    extras = PROJECT["project"]["optional-dependencies"]
    return requirements([*PROJECT["project"]["dependencies"], *extras["standalone"]])


def test_both_files_ask_comfyui_users_for_the_same():
    assert lines_of("requirements.txt") == PROJECT["project"]["dependencies"]


def test_messages_name_the_versions_that_extras_ask_for():
    extras = PROJECT["project"]["optional-dependencies"]
    for_users = set(extras) - {"test", "dev", "formats", "fuzz"}
    asked = requirements([line for name in for_users for line in extras[name]])
    asked.pop("flashtalk", None)  # an extra with another
    assert {name: SpecifierSet(bounds) for name, bounds in BOUNDS.items()} == {
        name: each.specifier for name, each in asked.items()
    }


def test_what_comfyui_brings_is_not_required_again():
    # Another numpy or torch than ComfyUI's own breaks other packs.
    assert set(requirements(lines_of("requirements.txt"))) == {"ftfy", "soxr"}


def test_the_oldest_versions_are_the_lower_bounds(promised):
    bounds = {
        name: next(each.version for each in found.specifier if each.operator == ">=")
        for name, found in promised.items()
    }
    assert lines_of(".ci/oldest.txt") == [f"{name}=={bounds[name]}.*" for name in sorted(bounds)]


def test_those_who_develop_have_the_same_torch_which_users_may_have_too(promised):
    pinned = requirements(PROJECT["project"]["optional-dependencies"]["dev"])["torch"]
    (pin,) = pinned.specifier
    assert pin.operator == "=="
    assert Version(pin.version) in promised["torch"].specifier


def test_python_is_the_one_the_linters_think_of():
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert PROJECT["tool"]["ruff"]["target-version"] == "py311"


def test_every_package_that_is_imported_is_declared(promised):
    imported = set()
    packages = ("flashtalk_core", "flashtalk_training")
    for path in (path for name in packages for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    others = imported - sys.stdlib_module_names - OPTIONAL - set(packages)
    assert {MODULES.get(name, name) for name in others} == set(promised)


def test_ci_tries_every_python_that_is_promised():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert re.findall(r'python: "(3\.\d+)"', text) == ["3.11", "3.12", "3.13", "3.14"]
    assert "-c .ci/oldest.txt" in text
    assert 'python-version: "3.11"' in text  # the pinned row
