"""What of the repository goes into a published archive."""

import re

import pytest

from .archive_files import ROOT, archived, listed

pytestmark = pytest.mark.cpu

AT_RUN_TIME = ("flashtalk_core", "nodes", "js", "locales", "subgraphs", "workflows")
ALONE = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "README.md",
    "__init__.py",
    "pyproject.toml",
    "requirements.txt",
}


TOOLS = (
    "assets/example/speech.track.json",
    "batch_workers",
    "bench",
    "cli/batch/comfy.py",
    "cli/bench",
    "cli/parity",
    "cli/serve.py",
    "cli/spinning",
    "comfy_client",
    "parity",
    "placement/topology.py",
    "runtime",
    *(f"serve/{name}" for name in ("access", "app", "hub", "omnirt", "page")),
)
"""Of the core: development, and what starts processes."""
LINK = re.compile(r"\]\(([^)\s]+)\)")


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


def test_the_archive_holds_no_tests_tools_or_training(archive):
    folders = {name.partition("/")[0] for name in archive if "/" in name}
    assert folders == {*AT_RUN_TIME, "docs"}
    assert not [name for name in archive if name.startswith("docs/training/")]


def links(name):
    """Return the files and folders of the repository that a page links to."""
    found = LINK.findall((ROOT / name).read_text("utf-8"))
    places = {link.partition("#")[0] for link in found if not link.startswith("https://")}
    targets = {(ROOT / name).parent.joinpath(place).resolve() for place in places if place}
    return {target.relative_to(ROOT).as_posix() for target in targets}


def is_in(archive, target):
    return target in archive or any(name.startswith(f"{target}/") for name in archive)


def test_relative_links_of_the_readme_lead_to_files_of_the_archive(archive):
    assert "docs/media/graph.webp" in links("README.md")
    assert [target for target in links("README.md") if not is_in(archive, target)] == []


def test_links_of_other_pages_lead_into_the_archive_or_to_what_it_leaves_out(archive):
    pages = {name for name in archive if name.endswith(".md") and not name.startswith("js/")}
    dead = {target for page in pages for target in links(page) if not is_in(archive, target)}
    left_out = (
        "integrations/",
        "docs/training/",
        "flashtalk_training/",
        "flashtalk_core/comfy_client/",
        "flashtalk_core/runtime/",
        "flashtalk_core/serve/",
        "tests/",
        ".ci/",
    )
    assert [target for target in dead if not target.startswith(left_out)] == []
