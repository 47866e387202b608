"""One real ComfyUI for all tests of the tier, its log shown with each failure."""

import math
import os
import re
import shutil
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from tests.unit.stages.test_upscale_file import compact

from .client import Client
from .graphs import LARGE_VIDEO, OTHER_MODEL, PORTRAIT, SPEECH, UPSCALER, avatar_graph
from .install import NoComfyUI, find_install
from .server import PACK, Server, make_base
from .websocket import Listener

RATE_HZ = 44_100
SOUND_S = 6.0


@pytest.fixture(scope="session")
def install():
    """Where ComfyUI is. One that was named but cannot run is an error, none at all is not."""
    try:
        return find_install(os.environ)
    except NoComfyUI as error:
        reason = str(error)
    if any(os.environ.get(name) for name in ("COMFYUI_PATH", "COMFYUI_PYTHON")):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


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
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and server is not None:
        report.sections.append((f"ComfyUI, all of it in {server.log_path}", server.part()))
    return report


def draw_portrait(path):
    image = Image.new("RGB", (160, 200), "steelblue")
    draw = ImageDraw.Draw(image)
    draw.ellipse((30, 30, 130, 170), "peachpuff")
    for left in (55, 90):
        draw.ellipse((left, 75, left + 15, 90), "black")
    draw.ellipse((60, 125, 100, 140), "firebrick")
    image.save(path)


def write_speech(path):
    """Write syllables in stereo: a tone that swells four times a second."""
    time_s = np.arange(round(SOUND_S * RATE_HZ)) / RATE_HZ
    tone = 0.3 * np.sin(2 * math.pi * 180 * time_s) * np.sin(math.pi * 4 * time_s) ** 2
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.stack([tone, tone / 2], axis=1) * 32767).astype("<i2").tobytes())


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
