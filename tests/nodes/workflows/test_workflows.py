"""The workflows people open fit the nodes that are there."""

import re
from pathlib import Path

import pytest
from PIL import Image

from .api_check import as_prompt, find_api_faults, without_titles
from .schemas import NOTE
from .ui_check import find_ui_faults

pytestmark = pytest.mark.cpu

WORKFLOWS = Path(__file__).parents[3] / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
API_NAMES = sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json"))
EACH = pytest.mark.parametrize("name", NAMES)
MAX_PICTURE_BYTES = 40_000
# A path of somebody's machine: a leading slash or a drive.
ABSOLUTE = re.compile(r"(?<![\w.*>])/(home|root|tmp|Users|mnt)/|\b[A-Za-z]:\\\\")


def test_each_workflow_has_its_twin():
    assert NAMES
    assert NAMES == API_NAMES


@EACH
def test_the_workflow_fits_the_nodes(name, read_workflow, schemas):
    assert find_ui_faults(read_workflow(f"{name}.json"), schemas) == []


@EACH
def test_the_prompt_fits_the_nodes(name, read_workflow, schemas):
    assert find_api_faults(read_workflow(f"api/{name}.json"), schemas) == []


@EACH
def test_workflow_and_prompt_say_the_same(name, read_workflow, schemas):
    sent = as_prompt(read_workflow(f"{name}.json"), schemas)
    assert sent == without_titles(read_workflow(f"api/{name}.json"))


@EACH
def test_the_workflow_has_a_small_picture(name):
    path = WORKFLOWS / f"{name}.jpg"
    assert path.stat().st_size <= MAX_PICTURE_BYTES
    with Image.open(path) as picture:
        assert picture.format == "JPEG"


@EACH
def test_the_workflow_is_grouped_and_explains_itself(name, read_workflow):
    workflow = read_workflow(f"{name}.json")
    notes = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == NOTE]
    assert workflow["groups"]
    assert notes
    assert all(notes)


@EACH
def test_nothing_overlaps(name, read_workflow):
    boxes = [box_of(node) for node in read_workflow(f"{name}.json")["nodes"]]
    touching = [
        (one, other)
        for index, one in enumerate(boxes)
        for other in boxes[:index]
        if all(one[i] < other[i + 2] and other[i] < one[i + 2] for i in (0, 1))
    ]
    assert touching == []


@EACH
@pytest.mark.parametrize("folder", [".", "api"])
def test_no_path_of_a_machine_is_in_it(name, folder):
    text = (WORKFLOWS / folder / f"{name}.json").read_text(encoding="utf-8")
    assert not ABSOLUTE.search(text)


def box_of(node, title=30):
    """Return left, top, right and bottom of a node with its title."""
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - title, left + width, top + height
