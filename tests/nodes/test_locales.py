"""Texts of the nodes in the languages of ComfyUI's page."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

LOCALES = Path(__file__).parents[2] / "locales"
LANGUAGES = ("en", "zh")
# Choices that are called the same in every language: kernels, formats, devices, rules of steps.
NAMES = re.compile(
    r"cpu|gpu:\d|b?float\d\d|sdpa(-cudnn)?|sage|flash-attn(-3(-fp8)?)?|\d+x\d+|mp4|mov|mkv|renoise|euler"
)
# Texts that stay as they are in Chinese, too.
ABBREVIATIONS = {"VAE"}


def read(language):
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def key(name):
    """Return a name as the page looks it up: it takes a dot for a step into a table."""
    return name.replace(".", "_")


def texts_of(node):
    """Return a node's own texts in the form of ``nodeDefs.json``."""
    schema = node.GET_SCHEMA()
    outputs = enumerate(schema.outputs)
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": dict(entry for each in schema.inputs for entry in entries_of(each)),
        "outputs": {str(index): {"name": each.display_name} for index, each in outputs},
    }


def entries_of(each, prefix=""):
    """Yield an input and those that its choices bring; these are called ``size.width``."""
    options = getattr(each, "options", [])
    choices = [option if isinstance(option, str) else option.key for option in options]
    words = {key(choice): choice for choice in choices if not NAMES.fullmatch(choice)}
    entry = {"name": each.id, "tooltip": each.tooltip, "options": words}
    yield key(prefix + each.id), {name: value for name, value in entry.items() if value}
    for option in options:
        for inner in getattr(option, "inputs", []):
            yield from entries_of(inner, f"{prefix}{each.id}.")


def flat(table, path=""):
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{path}/{name}")
        else:
            yield f"{path}/{name}", value


def test_english_is_what_the_nodes_say(pack):
    assert read("en") == {name: texts_of(node) for name, node in pack.nodes.items()}


def test_every_text_is_there_in_chinese():
    assert [path for path, _ in flat(read("zh"))] == [path for path, _ in flat(read("en"))]


def test_chinese_is_chinese():
    texts = dict(flat(read("zh")))
    foreign = {path: text for path, text in texts.items() if not re.search("[\u4e00-\u9fff]", text)}
    assert set(foreign.values()) <= ABBREVIATIONS, foreign


def test_chinese_menus_have_no_choice_twice():
    for node in read("zh").values():
        for entry in node["inputs"].values():
            choices = list(entry.get("options", {}).values())
            assert len(set(choices)) == len(choices), choices


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_can_look_up_and_show_every_text(language):
    for path, text in flat(read(language)):
        assert "." not in path, path
        # Marks of links, choices and places in the page's message format.
        assert not set("@|{}") & set(text), text


def test_no_unused_locale_files_exist():
    found = {path.relative_to(LOCALES).as_posix() for path in LOCALES.rglob("*.*")}
    assert found == {f"{language}/nodeDefs.json" for language in LANGUAGES}
