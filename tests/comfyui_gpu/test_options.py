"""Options of ComfyUI that are about memory, each with a server of its own and the FP8 file."""

import pytest

from .session import EMPTY_GB

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
        empty = session.free("/free")
    if session.is_bounded:
        assert second.device - first.device < SAME_GB
        assert second.host_own - first.host_own < SAME_GB
        assert empty.reserved <= EMPTY_GB
