"""A stage for the player, and Chromium to look at it."""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from .live_sounds import write_microphone, write_tones

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SCENARIO_S = 270
"""Longest wait for a scenario."""


def what_is_missing():
    """Return why the browser's tests cannot run, empty if they can."""
    if not shutil.which("node"):
        return "needs Node.js"
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        return "needs playwright-core: npm ci in tests/js"
    if not Path(CHROMIUM).exists():
        return f"needs Debian's chromium at {CHROMIUM}, or CHROMIUM in the environment"
    return ""


def pytest_collection_modifyitems(items):
    missing = what_is_missing()
    for item in items:
        if missing and Path(item.path).parent == HERE and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=missing))


class Browser:
    """Node.js with one Chromium for all scenarios; started again after one that broke it."""

    def __init__(self, folder):
        self.log = folder / "driver.log"
        self.microphone = folder / "microphone.wav"
        write_microphone(self.microphone)
        self.process = None
        self.lines = None

    def play(self, name, *given):
        """Play a scenario and return what was seen."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        self.process.stdin.write(json.dumps([name, *map(str, given)]) + "\n")
        self.process.stdin.flush()
        try:
            line = self.lines.get(timeout=SCENARIO_S)
        except queue.Empty:
            self.stop()
            pytest.fail(f"{name}: no answer in {SCENARIO_S} s")
        if not line:
            self.stop()
            pytest.fail(f"{name}: Node.js ended\n{self.log.read_text('utf-8')}")
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["seen"]

    def start(self):
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["node", str(HERE / "driver.mjs"), str(self.microphone)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
            )
        self.lines = queue.SimpleQueue()
        threading.Thread(target=self.read, args=(self.process, self.lines), daemon=True).start()

    @staticmethod
    def read(process, lines):
        """Pass on the answers, and an empty line at the end; a pipe has no time limit."""
        with process.stdout as answers:
            for line in answers:
                lines.put(line)
        lines.put("")

    def stop(self):
        """Let Chromium close; a driver that hangs is killed."""
        if self.process is None:
            return
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """The browser of all tests."""
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.stop()


@contextmanager
def running_stage(name="stage"):
    """Run a stage and give what it prints: its address."""
    with subprocess.Popen(
        [sys.executable, "-m", f"tests.js.{name}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="session")
def stage():
    """Address of the stage of all tests."""
    with running_stage() as address:
        yield address


@pytest.fixture(scope="session")
def live_stage():
    """Addresses of the live server: ``open``, and ``guarded`` by a token."""
    with running_stage("live_stage") as addresses:
        yield json.loads(addresses)


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    """A sound file: three short tones and a long one."""
    path = tmp_path_factory.mktemp("sound") / "tones.wav"
    write_tones(path)
    return path


@pytest.fixture
def own_stage():
    """Address of a stage that a test may end."""
    with running_stage() as address:
        yield address


@pytest.fixture
def run(browser, stage):
    """Play a scenario on the stage and return what was seen; its shows end with the test."""

    def run(name):
        return browser.play(name, stage)

    yield run
    with urllib.request.urlopen(f"{stage}/clear", timeout=30):
        pass
