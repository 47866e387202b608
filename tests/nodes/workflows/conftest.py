"""Workflows as they are in the repository, and the schemas that they are held against."""

import copy
import json
from pathlib import Path

import pytest

from .schemas import read_facts, schema_of_node

WORKFLOWS = Path(__file__).parents[3] / "workflows"


@pytest.fixture
def schemas(pack):
    """Schemas by class: the pack's from its nodes, ComfyUI's from the facts."""
    return read_facts() | {name: schema_of_node(node) for name, node in pack.nodes.items()}


@pytest.fixture(scope="session")
def read_workflow():
    """Read a fresh copy of a workflow; its path begins below ``workflows``."""
    texts = {path: path.read_text(encoding="utf-8") for path in WORKFLOWS.rglob("*.json")}
    parsed = {path.relative_to(WORKFLOWS).as_posix(): json.loads(texts[path]) for path in texts}
    return lambda name: copy.deepcopy(parsed[name])
