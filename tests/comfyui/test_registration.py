"""ComfyUI loads the pack without a word of complaint."""

import re

import pytest

from .graphs import NODE_INPUTS, OWN_SIZE
from .server import PACK_NAME

pytestmark = pytest.mark.comfyui

COMPLAINT = re.compile(r"warn|error|traceback|failed|exception", re.IGNORECASE)


def test_all_nodes_are_listed_with_their_inputs(comfy):
    known = comfy.get_json("/object_info")
    listed = {name: info for name, info in known.items() if name.startswith("FlashTalk_")}
    inputs = {
        name: " ".join(
            key for part in ("required", "optional") for key in info["input"].get(part, {})
        )
        for name, info in listed.items()
    }
    assert inputs == NODE_INPUTS
    assert all(info["category"] == "video/FlashTalk" for info in listed.values())
    assert all(info["description"] for info in listed.values())


def test_the_log_has_no_complaint_about_the_pack(server):
    about_the_pack = [line for line in server.boot_log.splitlines() if PACK_NAME in line]
    assert about_the_pack
    assert not list(filter(COMPLAINT.search, about_the_pack))
    assert "IMPORT FAILED" not in server.boot_log


def test_a_healthy_run_logs_no_complaint(server, comfy, graph):
    comfy.render(graph(**OWN_SIZE))
    assert not list(filter(COMPLAINT.search, server.part().splitlines()))
