"""A real ComfyUI on a GPU, models of the full size with random weights, and a table of readings.

README.md says how to run it; the variables are read here.
"""

import os
import re
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.weights.load import open_avatar
from tests.comfyui.graphs import PORTRAIT, SPEECH
from tests.comfyui.inputs import draw_portrait, write_speech
from tests.comfyui.install import require_install
from tests.comfyui.server import Server, add_log, make_base

from .readings import Report
from .session import Session
from .weight_files import SHARDS, SINGLE, ModelFiles

REPORT = pytest.StashKey[Report]()
SPEECH_S = 30.0
IS_TINY = os.environ.get("COMFYUI_GPU_MODEL") == "tiny"
"""The bundled model's sizes, on the CPU: the same tests, which then bound nothing."""


@pytest.fixture(scope="session")
def install():
    if not sys.platform.startswith("linux"):
        pytest.skip("what a process takes is read on Linux only")
    if not IS_TINY:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device; COMFYUI_GPU_MODEL=tiny tries the tests on a CPU")
    return require_install(os.environ, with_page=False)


@pytest.fixture(scope="session")
def base(install, tmp_path_factory):
    """The folder ComfyUI works in; the files of the model go with it."""
    named = os.environ.get("COMFYUI_GPU_FOLDER")
    base = Path(named) / "comfyui_gpu" if named else tmp_path_factory.mktemp("comfyui_gpu")
    if named:
        shutil.rmtree(base, ignore_errors=True)  # of a run that was killed
    base.mkdir(exist_ok=True)
    try:
        make_base(base, Path(__file__).with_name("probe_nodes.py"))
        (base / "no_page").mkdir()
        draw_portrait(base / "input" / PORTRAIT)
        write_speech(base / "input" / SPEECH, SPEECH_S)
        yield base
    finally:
        shutil.rmtree(base)


@pytest.fixture(scope="session")
def report(request):
    return request.config.stash[REPORT]


@dataclass
class Model:
    """The files of the model, its transformer in one layout at a time: both need much room."""

    files: ModelFiles
    report: Report
    layout: str = ""

    def need(self, layout):
        """Have the transformer in a layout, and return its name in the Model Loader's menu."""
        if self.layout != layout:
            start_s = time.monotonic()
            self.files.remove_transformers()
            self.files.write_shards() if layout == SHARDS else self.files.write_single()
            self.layout = layout
            self.report.add("", f"{layout} written", seconds=time.monotonic() - start_s)
        return layout


@pytest.fixture(scope="session")
def model(base, report):
    config = open_avatar("tiny").config if IS_TINY else AvatarConfig()
    files = ModelFiles(base / "models", config, has_settings=IS_TINY)
    start_s = time.monotonic()
    files.write_encoders()
    files.write_lora()
    report.add("", "encoders and LoRA written", seconds=time.monotonic() - start_s)
    return Model(files, report)


@pytest.fixture(scope="session")
def start(install, base, report):
    """Start a server with options, and stop it; its log stays beside the report."""

    @contextmanager
    def start(*flags):
        name = re.sub(r"\W+", "_", "comfyui" + "".join(flags)) + ".log"
        more = ("--front-end-root", str(base / "no_page"), *(["--cpu"] if IS_TINY else []))
        start_s = time.monotonic()
        server = Server(install, base, (*flags, *more), name)
        try:
            server.wait_until_ready()
            session = Session(server, " ".join(flags), report, is_bounded=not IS_TINY)
            session.note("started", seconds=time.monotonic() - start_s)
            yield session
        finally:
            server.stop()
            if report.path is not None:
                shutil.copy(server.log_path, report.path.with_name(name))

    return start


@pytest.fixture(scope="module")
def shards(start, model):
    """A server without options, which has rendered nothing; the model is the authors' shards."""
    name = model.need(SHARDS)
    with start() as session:
        session.model = name
        yield session


@pytest.fixture
def single(model):
    """Name of the model in one file in FP8."""
    return model.need(SINGLE)


@pytest.fixture
def server(request):
    """The server whose log is shown if the test fails."""
    session = request.getfixturevalue("shards")
    session.server.begin_part()
    return session.server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return add_log(item, (yield))


def pytest_configure(config):
    named = os.environ.get("COMFYUI_GPU_REPORT")
    config.stash[REPORT] = Report(Path(named) if named else None)


def pytest_terminal_summary(terminalreporter, config):
    report = config.stash[REPORT]
    if report.rows:
        terminalreporter.write_line(report.as_json())
