"""What the page loads in addition to the nodes: templates, help and translations."""

import urllib.parse

import pytest

from .graphs import NODE_INPUTS
from .server import PACK, PACK_NAME

pytestmark = pytest.mark.comfyui

LANGUAGES = ("en", "zh")


def test_every_workflow_is_listed_as_a_template_and_served(comfy):
    names = sorted(path.stem for path in (PACK / "workflows").glob("*.json"))
    assert names
    assert sorted(comfy.get_json("/api/workflow_templates")[PACK_NAME]) == names
    for name in names:
        path = f"/api/workflow_templates/{PACK_NAME}/{urllib.parse.quote(name)}"
        assert comfy.get_json(f"{path}.json")["nodes"]
        assert comfy.get(f"{path}.jpg") == (PACK / "workflows" / f"{name}.jpg").read_bytes()


@pytest.mark.parametrize("node_id", NODE_INPUTS)
def test_every_node_has_a_help_page_in_each_language(comfy, node_id):
    folder = f"/extensions/{PACK_NAME}/docs"
    english = comfy.get(f"{folder}/{node_id}/en.md").decode()
    chinese = comfy.get(f"{folder}/{node_id}/zh.md").decode()
    assert english.isascii()
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_and_input_is_named_in_each_language(comfy, language):
    names = comfy.get_json("/i18n")[language]["nodeDefs"]
    for node_id, inputs in NODE_INPUTS.items():
        assert names[node_id]["display_name"]
        assert set(inputs.split()) <= set(names[node_id]["inputs"])


def test_the_page_imports_the_scripts_of_the_pack_and_nothing_else(comfy):
    imported = [path for path in comfy.get_json("/extensions") if f"/{PACK_NAME}/" in path]
    scripts = [path.relative_to(PACK / "js").as_posix() for path in (PACK / "js").rglob("*.js")]
    assert sorted(imported) == sorted(f"/extensions/{PACK_NAME}/{path}" for path in scripts)
