"""Modules of the pages, run by Node.js."""

import json
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
PAGE, PLAYER = ROOT / "flashtalk_core" / "serve" / "page", ROOT / "js" / "lib"


def run_module(script, given=None):
    """Run a script that gets ``given`` and prints JSON; ``page/`` and ``lib/`` are our modules."""
    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    read = "import { readFileSync } from 'node:fs'\nconst given = JSON.parse(readFileSync(0))\n"
    with TemporaryDirectory() as folder:  # as the server has them, beside each other
        for name, target in (("page", PAGE), ("lib", PLAYER)):
            Path(folder, name).symlink_to(target)
            script = script.replace(f"'{name}/", f"'{Path(folder, name).as_uri()}/")
        done = subprocess.run(
            ["node", "--preserve-symlinks", "--input-type=module", "-e", read + script],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
