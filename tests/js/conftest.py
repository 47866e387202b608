"""A stage for the player, and Chromium to look at it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


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


@pytest.fixture
def stage():
    """Address of a stage of one's own."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "stage.py")], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
def run(stage):
    """Play a scenario and return what was seen."""

    def run(name):
        done = subprocess.run(
            ["node", str(HERE / "scenarios.mjs"), name, stage],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
