"""ComfyUI's own blocks, through its guider, compute what the authors' code has computed.

The bounds are those of this package's own networks, in float32 on a CPU.
"""

import json
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.comfyui

ROOT = Path(__file__).parents[2]
MODULE, LOOP = 2e-5, 2e-4
BOUNDS = {"velocity": MODULE, "audio": MODULE, "chunk0": LOOP, "chunk1": LOOP, "chunk2": LOOP}


def test_golden_numbers_hold_through_native_networks(install, tmp_path):
    script = Path(__file__).with_name("native_parity.py")
    command = [install.python, script, install.folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == BOUNDS.keys()
    assert {name: value for name, value in found.items() if not value < BOUNDS[name]} == {}
