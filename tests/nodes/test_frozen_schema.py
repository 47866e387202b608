"""Saved workflows: nodes, inputs, outputs and menus are never renamed or removed."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

TABLE = Path(__file__).with_name("frozen_nodes.json")
FROZEN = json.loads(TABLE.read_text())
FILES = {"model", "vae", "text_encoder", "clip_vision", "audio_encoder"}
"""Menus that list files of this machine too."""


def described(node):
    """Return what a saved workflow relies on, in order."""
    schema = node.GET_SCHEMA()
    return {
        "display_name": schema.display_name,
        "category": schema.category,
        "is_output_node": schema.is_output_node,
        "inputs": [described_input(each) for each in schema.inputs],
        "outputs": [{"type": each.io_type, "name": each.display_name} for each in schema.outputs],
    }


def described_input(each):
    found = {"id": each.id, "type": each.io_type, "optional": each.optional}
    if each.io_type == "COMFY_DYNAMICCOMBO_V3":
        found["options"] = {
            option.key: [described_input(inner) for inner in option.inputs]
            for option in each.options
        }
    elif each.io_type == "COMBO":
        found["options"] = each.options
    return found


def changes(frozen, found, where=""):
    """Return what a workflow that was saved with ``frozen`` would miss in ``found``."""
    if isinstance(frozen, dict) and isinstance(found, dict):
        for key, value in frozen.items():
            if key not in found:
                yield f"{where}/{key} is gone"
            elif key == "options" and isinstance(value, list):
                gone = [option for option in value if option not in found[key]]
                yield from (f"{where}: {option!r} cannot be chosen any more" for option in gone)
            else:
                yield from changes(value, found[key], f"{where}/{key}")
    elif isinstance(frozen, list):
        if len(found) < len(frozen):
            yield f"{where} has {len(found)} entries, not {len(frozen)}"
        for index, (value, other) in enumerate(zip(frozen, found, strict=False)):
            yield from changes(value, other, f"{where}/{index}")
    elif frozen != found:
        yield f"{where} was {frozen!r}, is {found!r}"


@pytest.fixture
def found(pack):
    return {name: described(node) for name, node in pack.nodes.items()}


def test_saved_workflows_still_load(found):
    gone = list(changes(FROZEN, found))
    assert not gone, "saved workflows break:\n" + "\n".join(gone)


def test_every_schema_entry_is_in_the_frozen_table(found):
    """Frozen from the first release on: add it to the table, at the end."""
    assert list(changes(found, FROZEN)) == []


def test_inputs_of_later_versions_have_defaults(pack):
    """A workflow saved before an input was added holds no value for it."""
    for name, node in pack.nodes.items():
        num_frozen = len(FROZEN[name]["inputs"])
        for each in node.GET_SCHEMA().inputs[num_frozen:]:
            assert each.optional or each.default is not None, f"{name}: {each.id}"


def edited(change):
    table = json.loads(TABLE.read_text())
    change(table["FlashTalk_ChunkSampler"])
    return table


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda node: node["inputs"][4].update(id="num_steps"), "was 'steps', is 'num_steps'"),
        (lambda node: node["inputs"].pop(), "entries, not"),
        (lambda node: node["inputs"].reverse(), "was 'model'"),
        (lambda node: node["inputs"][0].update(type="MODEL"), "is 'MODEL'"),
        (lambda node: node["inputs"][0].update(optional=True), "was False, is True"),
        (lambda node: node["inputs"][5]["options"].pop(), "cannot be chosen any more"),
        (lambda node: node["outputs"].clear(), "0 entries, not 1"),
        (lambda node: node["outputs"][0].update(type="VIDEO"), "is 'VIDEO'"),
    ],
)
def test_every_break_is_noticed(change, says):
    assert says in "\n".join(changes(FROZEN, edited(change)))


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node["inputs"].append({"id": "x", "type": "INT", "optional": False}),
        lambda node: node["inputs"][5]["options"].insert(0, "dpm"),
        lambda node: node["outputs"].append({"type": "INT", "name": "x"}),
    ],
)
def test_additions_at_the_end_and_new_choices_break_nothing(change):
    assert list(changes(FROZEN, edited(change))) == []


def test_menus_of_files_begin_with_what_every_machine_has(found):
    loader = {each["id"]: each for each in found["FlashTalk_ModelLoader"]["inputs"]}
    menus = {name: loader[name]["options"] for name in FILES}
    assert menus["model"] == ["tiny (bundled)", "auto"]
    assert menus["vae"] == menus["audio_encoder"] == ["auto"]
    assert menus["text_encoder"] == menus["clip_vision"] == ["auto", "none"]
