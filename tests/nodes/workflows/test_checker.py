"""What the check of workflows finds, each planted in a workflow that is right."""

import pytest

from .api_check import as_prompt, find_api_errors
from .ui_check import find_ui_errors

pytestmark = pytest.mark.cpu

NAME = "1_first_talking_head.json"
SAMPLER, REFERENCE = "FlashTalk_ChunkSampler", "FlashTalk_Reference"


def node_of(workflow, kind):
    return next(node for node in workflow["nodes"] if node["type"] == kind)


def rename_input(workflow):
    node_of(workflow, SAMPLER)["inputs"][0]["name"] = "renamed"


def drop_link(workflow):
    del workflow["links"][0]


def cut_input(workflow):
    node_of(workflow, SAMPLER)["inputs"][0]["link"] = None


def turn_link(workflow):
    workflow["links"][0][4] += 1


def change_link_type(workflow):
    workflow["links"][0][5] = "LATENT"


def unknown_class(workflow):
    node_of(workflow, SAMPLER)["type"] = "FlashTalk_Sampler"


def one_value_less(workflow):
    node_of(workflow, SAMPLER)["widgets_values"].pop()


def one_value_more(workflow):
    node_of(workflow, REFERENCE)["widgets_values"].append(448)


def set_value(kind, index, value):
    def plant(workflow):
        node = node_of(workflow, kind)
        node["widgets_values"][index] = value
        del node["widgets_values_named"]

    return plant


def name_another_value(workflow):
    node_of(workflow, SAMPLER)["widgets_values_named"]["steps"] = 5


def add_extra(workflow):
    workflow["extra"] = {"ds": {"scale": 1}}


def add_key(workflow):
    workflow["id"] = "00000000-0000-0000-0000-000000000000"


FAULTS = {
    "inputs ['renamed']": rename_input,
    "link 1: None": drop_link,
    "model is not connected": cut_input,
    "but its ends say": turn_link,
    "'LATENT'": change_link_type,
    "unknown class": unknown_class,
    "too few widget values": one_value_less,
    "too many widget values": one_value_more,
    "seed -1 is not within": set_value(SAMPLER, 0, -1),
    "control_after_generate 'sometimes'": set_value(SAMPLER, 1, "sometimes"),
    "steps 4.5 is no INT": set_value(SAMPLER, 2, 4.5),
    "rule 'heun' is not among": set_value(SAMPLER, 3, "heun"),
    "shift 1000 is not within": set_value(SAMPLER, 4, 1000),
    "size 'huge' is not among": set_value(REFERENCE, 2, "huge"),
    "vae 'other.zip' is not among": set_value("FlashTalk_ModelLoader", 1, "other.zip"),
    "by position and by name differ": name_another_value,
    "extra is not empty": add_extra,
    "unknown keys ['id']": add_key,
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_planted_error_is_found(message, read_workflow, schemas):
    workflow = read_workflow(NAME)
    FAULTS[message](workflow)
    errors = find_ui_errors(workflow, schemas)
    assert any(message in error for error in errors), errors


def test_inputs_of_a_choice_are_found(read_workflow, schemas):
    workflow = read_workflow(NAME)
    node = node_of(workflow, REFERENCE)
    node["widgets_values"][2:3] = ["custom", 448, 9999]
    del node["widgets_values_named"]
    errors = find_ui_errors(workflow, schemas)
    assert any("size.height 9999 is not within" in error for error in errors)
    assert any("size.width is missing" in error for error in errors)


def test_the_prompt_of_a_custom_size_has_its_inputs(read_workflow, schemas):
    workflow = read_workflow(NAME)
    node = node_of(workflow, REFERENCE)
    node["widgets_values"][2:3] = ["custom", 448, 768]
    sent = as_prompt(workflow, schemas)[str(node["id"])]["inputs"]
    assert (sent["size"], sent["size.width"], sent["size.height"]) == ("custom", 448, 768)


def lose(prompt, key, name):
    del prompt[key]["inputs"][name]


def put(prompt, key, name, value):
    prompt[key]["inputs"][name] = value


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (lambda prompt, key: lose(prompt, key, "steps"), "steps is missing"),
        (lambda prompt, key: put(prompt, key, "cfg", 1), "unknown inputs ['cfg']"),
        (lambda prompt, key: put(prompt, key, "rule", "heun"), "rule 'heun'"),
        (lambda prompt, key: put(prompt, key, "model", ["99", 0]), "which is not there"),
        (lambda prompt, key: put(prompt, key, "model", [key, 0]), "and gets FLASHTALK_CHUNKS"),
    ],
)
def test_an_error_planted_in_a_prompt_is_found(plant, message, read_workflow, schemas):
    prompt = read_workflow(f"api/{NAME}")
    key = next(key for key, node in prompt.items() if node["class_type"] == SAMPLER)
    plant(prompt, key)
    errors = find_api_errors(prompt, schemas)
    assert any(message in error for error in errors), errors
