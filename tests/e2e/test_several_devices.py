"""One video rendered by two processes, from the command line."""

import av
import pytest

pytestmark = pytest.mark.ranks


def test_two_devices_render_one_video(render, older):
    assert render("--devices", "cpu,cpu").code == 0
    with av.open(str(older)) as container:
        assert len(list(container.decode(video=0))) == 5
