"""The workflows people open fit the nodes that are there."""

import re
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from .api_check import as_prompt, find_api_errors, without_titles
from .schemas import FILE_ENDING, NOTE
from .ui_check import find_ui_errors

pytestmark = pytest.mark.cpu

WORKFLOWS = Path(__file__).parents[3] / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
API_NAMES = sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json"))
EACH = pytest.mark.parametrize("name", NAMES)
SINKS = ("FlashTalk_StreamPreview", "FlashTalk_Live")
MAX_PICTURE_BYTES = 40_000
TRIED_COMFYUI = "0.33.0"
CHINESE = "[\u4e00-\u9fff]"
# A path of a user's machine: a leading slash or a drive.
ABSOLUTE = re.compile(r"(?<![\w.*>])/(home|root|tmp|Users|mnt)/|\b[A-Za-z]:\\\\")


def test_each_workflow_has_its_twin():
    assert NAMES
    assert NAMES == API_NAMES


@EACH
def test_the_workflow_fits_the_nodes(name, read_workflow, schemas):
    assert find_ui_errors(read_workflow(f"{name}.json"), schemas) == []


@EACH
def test_the_prompt_fits_the_nodes(name, read_workflow, schemas):
    assert find_api_errors(read_workflow(f"api/{name}.json"), schemas) == []


@EACH
def test_workflow_and_prompt_say_the_same(name, read_workflow, schemas):
    sent = as_prompt(read_workflow(f"{name}.json"), schemas)
    assert sent == without_titles(read_workflow(f"api/{name}.json"))


@EACH
def test_the_workflow_has_a_small_image(name):
    path = WORKFLOWS / f"{name}.jpg"
    assert path.stat().st_size <= MAX_PICTURE_BYTES
    with Image.open(path) as image:
        assert image.format == "JPEG"


@EACH
def test_the_workflow_is_grouped_and_explains_itself(name, read_workflow):
    workflow = read_workflow(f"{name}.json")
    notes = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == NOTE]
    assert workflow["groups"]
    assert notes
    assert all(notes)


@EACH
def test_notes_and_groups_speak_both_languages(name, read_workflow):
    workflow = read_workflow(f"{name}.json")
    notes = [node for node in workflow["nodes"] if node["type"] == NOTE]
    texts = [note["widgets_values"][0] for note in notes]
    for text in [*texts, *(each["title"] for each in [*notes, *workflow["groups"]])]:
        english, chinese = (re.search(letters, text) for letters in ("[A-Za-z]{3}", CHINESE))
        assert english, text
        assert chinese, text
        assert english.start() < chinese.start(), text


@EACH
def test_the_workflow_runs_with_the_bundled_example(name, read_workflow):
    kinds = {node["type"] for node in read_workflow(f"{name}.json")["nodes"]}
    assert "FlashTalk_Example" in kinds
    assert not {kind for kind in kinds if kind.startswith("Load")}


@EACH
def test_each_run_writes_one_file(name, read_workflow):
    kinds = [node["type"] for node in read_workflow(f"{name}.json")["nodes"]]
    savers = [kind for kind in kinds if kind.startswith("Save") or kind in SINKS]
    assert len(savers) == 1
    assert savers[0] in SINKS


@EACH
def test_nodes_say_which_pack_they_come_from(name, read_workflow):
    """Otherwise a page without the pack does not show what to install."""
    project = tomllib.loads((WORKFLOWS.parent / "pyproject.toml").read_text("utf-8"))["project"]
    ours = project["name"], project["version"]
    for node in read_workflow(f"{name}.json")["nodes"]:
        found = node["properties"].get("cnr_id"), node["properties"].get("ver")
        if node["type"].startswith("FlashTalk_"):
            assert found == ours, node["type"]
        elif node["type"] != NOTE:
            assert found == ("comfy-core", TRIED_COMFYUI), node["type"]


@EACH
def test_files_to_download_are_described_and_found(name, read_workflow, pack):
    """The page offers a download for what a widget names, and only for that."""
    for node in read_workflow(f"{name}.json")["nodes"]:
        values = node.get("widgets_values_named", {})
        named = {value for value in values.values() if str(value).endswith(FILE_ENDING)}
        models = {model["name"]: model for model in node["properties"].get("models", [])}
        assert set(models) == named, node["type"]
        for model in models.values():
            assert set(model) == {"name", "url", "directory"}
            assert re.fullmatch(rf"https://huggingface\.co/\S+/{model['name']}", model["url"])
            folder = pack["folder_paths"].models_dir / Path(model["directory"])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / model["name"]).touch()
        if node["type"] == "FlashTalk_ModelLoader":
            inputs = pack.nodes[node["type"]].GET_SCHEMA().inputs
            menus = {each.id: getattr(each, "options", []) for each in inputs}
            assert not {key for key, value in values.items() if value in named - {*menus[key]}}


@EACH
def test_the_workflow_fits_a_screen_at_a_readable_scale(name, read_workflow):
    """In a window of 1600 x 900 the classic renderer draws text from a scale of 0.57 on."""
    workflow = read_workflow(f"{name}.json")
    boxes = [box_of(node) for node in workflow["nodes"]]
    for left, top, width, height in (group["bounding"] for group in workflow["groups"]):
        boxes.append((left, top, left + width, top + height))
    assert max(box[2] for box in boxes) - min(box[0] for box in boxes) <= 1700
    assert max(box[3] for box in boxes) - min(box[1] for box in boxes) <= 1150


@EACH
def test_no_node_is_narrower_than_nodes_2_0_draws_it(name, read_workflow):
    narrow = [
        node["type"] for node in read_workflow(f"{name}.json")["nodes"] if node["size"][0] < 225
    ]
    assert not narrow


@EACH
def test_nodes_of_a_workflow_do_not_overlap(name, read_workflow):
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
def test_no_absolute_path_is_in_a_workflow(name, folder):
    text = (WORKFLOWS / folder / f"{name}.json").read_text(encoding="utf-8")
    assert not ABSOLUTE.search(text)


def box_of(node, title=30):
    """Return left, top, right and bottom of a node with its title."""
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - title, left + width, top + height
