"""What workflows are checked against is what ComfyUI's own nodes say."""

import pytest

from tests.nodes.workflows.schemas import read_facts, schema_of_info

pytestmark = pytest.mark.comfyui


FACTS_OF = (0, 33)
"""The ComfyUI whose nodes are written down; some are newer than the oldest one that is served."""


@pytest.mark.parametrize("name", sorted(read_facts()))
def test_facts_of_a_native_node_hold(comfy, install, name):
    info = comfy.get_json(f"/object_info/{name}")[name]
    found, facts = schema_of_info(info), read_facts()[name]
    if install.version < FACTS_OF and found != facts:
        pytest.skip(f"{name} differs in ComfyUI {'.'.join(map(str, install.version))}")
    assert found == facts
