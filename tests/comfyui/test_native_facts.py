"""What workflows are checked against is what ComfyUI's own nodes say."""

import pytest

from tests.nodes.workflows.schemas import read_facts, schema_of_info

pytestmark = pytest.mark.comfyui


@pytest.mark.parametrize("name", sorted(read_facts()))
def test_facts_of_a_native_node_hold(comfy, name):
    info = comfy.get_json(f"/object_info/{name}")[name]
    assert schema_of_info(info) == read_facts()[name]
