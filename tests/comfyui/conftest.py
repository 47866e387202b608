"""One real ComfyUI for all tests of the tier, its log shown with each failure."""

import os
import re
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests.unit.stages.test_upscale_file import compact

from .client import Client
from .graphs import LARGE_VIDEO, OTHER_MODEL, PORTRAIT, SPEECH, UPSCALER, avatar_graph
from .inputs import draw_portrait, write_speech
from .install import require_install
from .server import PACK, Server, add_log, make_base
from .websocket import Listener


@pytest.fixture(scope="session")
def install():
    """Where ComfyUI is. One that was named but cannot run is an error, none at all is not."""
    return require_install(os.environ)


@pytest.fixture(scope="session")
def base(install, tmp_path_factory):
    base = make_base(tmp_path_factory.mktemp("comfyui"), Path(__file__).with_name("probe_nodes.py"))
    draw_portrait(base / "input" / PORTRAIT)
    write_speech(base / "input" / SPEECH)
    encode_large_video(base / "input" / LARGE_VIDEO)
    make_other_model(base / "models" / "flashtalk" / OTHER_MODEL)
    upscalers = base / "models" / "upscale_models"
    upscalers.mkdir()
    save_file(compact(), upscalers / UPSCALER)
    if others := os.environ.get("VIDEO_HELPER_SUITE"):
        (base / "custom_nodes" / "VideoHelperSuite").symlink_to(others, target_is_directory=True)
    return base


@pytest.fixture(scope="session")
def server(install, base):
    server = Server(install, base)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture
def comfy(server):
    """A user whose log begins now."""
    server.begin_part()
    return Client(server.url, server.base / "output")


@pytest.fixture
def listener(server, comfy):
    with Listener(server.port, comfy.id) as listener:
        yield listener


@pytest.fixture
def graph(request):
    """Make a prompt of this test alone, so that nothing in it is cached by another one."""
    name = re.sub(r"\W", "_", request.node.name)

    def make(**settings):
        places = {place.replace("__", ".", 1): value for place, value in settings.items()}
        return avatar_graph({"preview.filename_prefix": f"{name}/avatar"} | places)

    return make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return add_log(item, (yield))


def encode_large_video(path):
    """Encode 30 frames that take 147 MB as images."""
    frame = av.VideoFrame.from_ndarray(np.zeros((640, 640, 3), np.uint8), format="rgb24")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width = stream.height = 640
        stream.pix_fmt = "yuv420p"
        for index in range(30):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make_other_model(transformer):
    """Copy the tiny model, its transformer changed: another model of the same shape."""
    folder = transformer.parent
    shutil.copytree(PACK / "flashtalk_core" / "assets" / "tiny", folder)
    weights = load_file(transformer)
    weights["head.head.scale_weight"] *= 0.5
    save_file(weights, transformer)
