"""The blueprints of the library fit the nodes that are there."""

import json
from pathlib import Path

import pytest

from .ui_check import find_node_errors

pytestmark = pytest.mark.cpu

BLUEPRINTS = sorted((Path(__file__).parents[3] / "subgraphs").glob("*.json"))


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_the_blueprint_fits_the_nodes(path, schemas):
    definitions = json.loads(path.read_text("utf-8"))["definitions"]["subgraphs"]
    nodes = [node for each in definitions for node in each["nodes"]]
    ours = [node for node in nodes if node["type"].startswith("FlashTalk_")]
    assert len(ours) >= 5
    errors = [(node["type"], error) for node in ours for error in find_node_errors(node, schemas)]
    assert errors == []
