"""What of the repository goes into a published archive."""

import re

import pytest

from .archive_files import ROOT, archived, listed

pytestmark = pytest.mark.cpu

AT_RUN_TIME = ("flashtalk_core", "nodes", "js", "locales", "subgraphs", "workflows")
ALONE = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "__init__.py",
    "pyproject.toml",
    "requirements.txt",
}


TOOLS = ("bench", "parity", "cli/bench", "cli/parity", "cli/spinning")
"""Of the core: development only."""


@pytest.fixture(scope="module")
def archive():
    return archived()


def test_the_archive_holds_everything_that_runs(archive):
    needed = {name for name in listed() if name.partition("/")[0] in AT_RUN_TIME}
    tools = {
        name for name in needed if name.startswith(tuple(f"flashtalk_core/{t}" for t in TOOLS))
    }
    assert tools
    assert needed - tools <= archive
    assert not tools & archive
    assert {name for name in archive if "/" not in name} == ALONE


def test_besides_code_the_archive_holds_only_pictures_of_the_readme(archive):
    folders = {name.partition("/")[0] for name in archive if "/" in name}
    assert folders <= {*AT_RUN_TIME, "docs"}
    media = {name for name in archive if name.startswith("docs/")}
    assert all(name.startswith("docs/media/") for name in media)
    shown = re.findall(r"!\[[^]]*\]\((docs/[^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert set(shown) & listed()
    assert set(shown) & listed() <= media
