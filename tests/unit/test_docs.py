"""What the documents promise to say."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from flashtalk_core.parallel.sequence import exchanged_bytes
from flashtalk_core.parallel.shares import split_evenly
from tools.predict_ranks import SETTINGS, predict, prediction_table, sent_bytes
from tools.write_figures import PAGE, RESULTS, render_page

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    ROOT / "flashtalk_training" / "README.md",
    ROOT / "flashtalk_core" / "assets" / "tiny" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
LINK = re.compile(r"\]\(([^)\s]+)\)")
TEST_COUNT = re.compile(r"\b\d[\d,.]* (?:\w+ )?(?:tests?\b|passed\b|skipped\b)")
README_LINES = 160
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


def test_the_readme_shows_five_recorded_figures():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| \[.*\]\(docs/FIGURES\.md#.*\) \| (.*) \|$", text, re.MULTILINE)
    sections = tomllib.loads(RESULTS.read_text(encoding="utf-8"))["sections"]
    recorded = {figure["value"] for section in sections for figure in section["figures"]}
    assert len(shown) == 5
    assert set(shown) <= recorded


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


@EACH
def test_no_document_states_how_many_tests_there_are(page):
    assert TEST_COUNT.findall(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("text", ["4,323 passed", "12 skipped", "1 test", "of 2,100 unit tests"])
def test_counts_of_tests_are_recognised(text):
    assert TEST_COUNT.search(text)


@EACH
def test_rows_of_a_table_have_as_many_cells_as_its_head(page):
    width = 0
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = line.replace("\\|", "").count("|") if line.startswith("|") else 0
        assert cells in (0, width) or not width, line
        width = cells


def test_the_page_of_figures_is_what_its_command_writes():
    results = tomllib.loads(RESULTS.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == render_page(results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"machine": "a laptop"}, "'a laptop' is not in"),
        ({"command": None}, r"missing \['command'\]"),
        ({"colour": "red"}, r"unknown \['colour'\]"),
    ],
)
def test_a_figure_without_its_command_or_machine_is_refused(change, message):
    results = tomllib.loads(RESULTS.read_text(encoding="utf-8"))
    figure = results["sections"][0]["figures"][0]
    figure.update(change)
    for name in [name for name, value in change.items() if value is None]:
        del figure[name]
    with pytest.raises(ValueError, match=message):
        render_page(results)


def test_the_predictions_for_several_devices_are_those_that_their_program_prints():
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert "\n".join(prediction_table()) in text


def test_predictions_for_one_device_are_what_was_measured():
    for one in SETTINGS:
        found = predict(one, 1, 4)
        assert (found.step_ms, found.decode_ms) == pytest.approx((one.step_ms, one.decode_ms))


def test_what_a_rank_sends_is_what_bench_ranks_counts():
    positions = split_evenly(1344, 2)
    counted = exchanged_bytes([9 * count for count in positions], (40, 128), (2, 1), 0, 2)
    assert sent_bytes(12_096, 2) == counted
