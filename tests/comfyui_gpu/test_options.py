"""Options of ComfyUI that are about memory, each with a server of its own and the FP8 file."""

import pytest

pytestmark = pytest.mark.comfyui_gpu

OPTIONS = [
    ("--disable-smart-memory",),
    ("--lowvram", "--disable-dynamic-vram"),
    ("--cache-none",),
]
SAME_GB = 0.5


@pytest.mark.parametrize("flags", OPTIONS, ids=" ".join)
def test_two_prompts_render_and_leave_as_much(start, single, flags):
    with start(*flags) as session:
        session.model = single
        first = session.render("one file in FP8: load and render", session.graph())
        second = session.render("again", session.graph())
        session.client.post("/free", unload_models=True, free_memory=True)
        empty = session.wait_until_free("/free", 1.0)
    if session.is_bounded:
        assert second.device - first.device < SAME_GB
        assert second.host_own - first.host_own < SAME_GB
        assert empty.reserved < 1
