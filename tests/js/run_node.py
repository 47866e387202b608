"""Modules of the pages, run by Node.js."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE, PLAYER = ROOT / "flashtalk_core" / "serve" / "page", ROOT / "js" / "lib"


def run_module(script, given=None):
    """Run a script that gets ``given`` and prints JSON; ``page/`` and ``lib/`` are our modules."""
    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    for name, folder in (("page", PAGE), ("lib", PLAYER)):
        script = script.replace(f"'{name}/", f"'{folder.as_uri()}/")
    read = "import { readFileSync } from 'node:fs'\nconst given = JSON.parse(readFileSync(0))\n"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", read + script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
