"""What the documents promise to say."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
LINK = re.compile(r"\]\(([^)\s]+)\)")
README_LINES = 180
"""A user reads the README; options and figures have pages of their own."""


def anchors(page):
    """Return what a link into a page may name, as GitHub and editors make it of headings."""
    headings = re.findall("^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading).lower() for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@EACH
def test_no_document_leaves_a_figure_open(page):
    assert "TBD" not in page.read_text(encoding="utf-8")


@EACH
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_the_readme_names_the_files_of_the_second_template_and_their_folders():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    workflow = json.loads((ROOT / "workflows" / "2_production_14b.json").read_text("utf-8"))
    models = [m for node in workflow["nodes"] for m in node["properties"].get("models", [])]
    assert models
    for model in models:
        repository = "/".join(model["url"].split("/")[:5])
        row = next(line for line in text.splitlines() if f"[{model['name']}]" in line)
        assert f"| `{model['directory']}` |" in row
        assert f"({repository}" in row
    note = next(node for node in workflow["nodes"] if "Files" in node.get("title", ""))
    for command in re.findall("hf download .*--include.*", text):
        assert command in note["widgets_values"][0]
