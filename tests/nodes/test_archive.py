"""What of the repository goes into a published archive."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
AT_RUN_TIME = ("flashtalk_core", "nodes", "js", "locales", "workflows")
ALONE = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "__init__.py",
    "pyproject.toml",
    "requirements.txt",
}


def listed(*options):
    """Return files of the repository, tracked or about to be, that git lists."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this copy is no git repository: {done.stderr.strip()}")
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def archive():
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return listed() - listed("--ignored", "--exclude-from=.comfyignore")


def test_everything_that_runs_is_in_it(archive):
    needed = {name for name in listed() if name.partition("/")[0] in AT_RUN_TIME}
    assert needed <= archive
    assert {name for name in archive if "/" not in name} == ALONE


def test_nothing_else_is_in_it_but_pictures_of_the_readme(archive):
    folders = {name.partition("/")[0] for name in archive if "/" in name}
    assert folders <= {*AT_RUN_TIME, "docs"}
    media = {name for name in archive if name.startswith("docs/")}
    assert all(name.startswith("docs/media/") for name in media)
    shown = re.findall(r"!\[[^]]*\]\((docs/[^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert set(shown) & listed()
    assert set(shown) & listed() <= media
