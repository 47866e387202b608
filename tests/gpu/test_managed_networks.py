"""Networks under ComfyUI's model management on a real GPU: eviction, /free, and their end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report():
    """Run the session in a process of its own; ComfyUI keeps state in its modules."""
    comfyui = Path(os.environ.get("COMFYUI_PATH", Path.home() / "comfy" / "ComfyUI"))
    if not (comfyui / "comfy" / "model_management.py").is_file():
        pytest.skip(f"no ComfyUI in {comfyui}; set COMFYUI_PATH")
    script = Path(__file__).parent / "managed_session.py"
    run = subprocess.run(
        [os.environ.get("COMFYUI_PYTHON", sys.executable), script, ROOT, comfyui],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", ["managed", "evicted", "after_free"])
def test_frames_do_not_depend_on_which_residency_keeps_the_networks(report, case):
    assert report[f"{case}_equals_own"], report


def test_networks_take_no_device_memory_while_they_are_evicted(report):
    assert report["loaded_bytes"] > 0, report
    assert len(report["evicted_bytes"]) == 2, report  # once after each of two chunks but the last
    assert all(evicted >= report["loaded_bytes"] * 0.9 for evicted in report["evicted_bytes"])
    assert report["bytes_after_free"] <= 0.05 * report["loaded_bytes"], report


def test_nothing_is_left_when_the_model_is_dropped(report):
    assert report["is_dropped"], report
    assert report["models_left"] == 0, report
    assert report["bytes_after_drop"] <= 0.05 * report["loaded_bytes"], report
