"""Values of a row in a workflow."""

import json
from pathlib import Path

import pytest

from flashtalk_core.batch.row_reader import RowReader
from flashtalk_core.comfy_client.workflow import NAMES, fill, read_workflow
from flashtalk_core.errors import InvalidInputError

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[3]
WORKFLOWS = [
    path
    for path in sorted((ROOT / "workflows" / "api").glob("*.json"))
    if "_live_" not in path.stem  # speech comes in while they run
]


def filled(workflow, **values):
    spec, crf = RowReader(Path()).read(values | {"image": "a.png", "audio": "a.wav"})
    return fill(workflow, spec, crf, values.keys(), "b/x.png", "b/y.wav")


def node(workflow, kind):
    (found,) = (each for each in workflow.values() if each["class_type"] == kind)
    return found["inputs"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_workflow_of_the_pack_takes_a_portrait_and_speech(path):
    workflow = read_workflow(path)
    before = json.dumps(workflow)
    found = filled(workflow)
    assert json.dumps(workflow) == before
    image = found[node(found, "FlashTalk_Reference")["image"][0]]
    audio = found[node(found, "FlashTalk_AudioEncode")["audio"][0]]
    assert image == {"class_type": "LoadImage", "inputs": {"image": "b/x.png"}}
    assert audio == {"class_type": "LoadAudio", "inputs": {"audio": "b/y.wav"}}
    changed = {id for id, each in workflow.items() if found[id] != each}  # noqa: A001
    kinds = {workflow[each]["class_type"] for each in changed}
    assert kinds == {"FlashTalk_Reference", "FlashTalk_AudioEncode"}


def test_a_row_sets_what_it_names_and_nothing_else():
    found = filled(
        read_workflow(WORKFLOWS[0]),
        prompt="She sings", prompt_at="2: She nods\n3.5: Done", fit="pad", size="64x96",
        start="1", duration="2.5", mouth_strength="1.5", seed="7", steps=2, rule="euler",
        shift="3", colour_strength="0.5", colour_area="no-mouth",
        join_frames="6", crf="30",
    )  # fmt: skip
    reference, sampler = node(found, "FlashTalk_Reference"), node(found, "FlashTalk_ChunkSampler")
    assert reference["prompt"] == "She sings"
    assert reference["prompt_changes"] == "2: She nods\n3.5: Done"
    assert (reference["fit"], reference["size"]) == ("pad", "custom")
    assert (reference["size.width"], reference["size.height"]) == (96, 64)
    speech = node(found, "FlashTalk_AudioEncode")
    assert (speech["start"], speech["duration"], speech["mouth_strength"]) == (1.0, 2.5, 1.5)
    settings = [sampler[name] for name in ("seed", "steps", "rule", "shift", "colour_strength")]
    assert settings == [7, 2, "euler", 3.0, 0.5]
    assert (sampler["colour_area"], sampler["join_frames"]) == ("no-mouth", 6)
    assert (sampler["chunk_frames"], node(found, "FlashTalk_StreamPreview")["quality"]) == (33, 30)


def test_every_name_is_an_option_of_a_row():
    assert RowReader(Path()).names >= NAMES


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "no JSON"),
        ('{"nodes": [], "links": []}', "not in the API format; export it with 'Export (API)'"),
        ('{"1": {"class_type": "LoadImage", "inputs": {}}}', "no FlashTalk_Reference"),
    ],
)
def test_what_is_no_workflow_is_refused(tmp_path, content, says):
    path = tmp_path / "w.json"
    path.write_text(content)
    with pytest.raises(InvalidInputError) as caught:
        read_workflow(path)
    assert says in str(caught.value)


def test_a_setting_without_its_node_is_refused():
    workflow = read_workflow(WORKFLOWS[0])
    del workflow["6"]
    with pytest.raises(InvalidInputError, match="seed: the workflow has no FlashTalk_ChunkSampler"):
        filled(workflow, seed=3)
