"""What ComfyUI's process imports: nothing that exchanges between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from .test_published_pack import NODES

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
ADDED = """
import torch
before = {name for name in sys.modules if name.startswith("torch.distributed")}
import importlib
for name in ("fleets", "fleet", "processes", "cluster.process"):
    importlib.import_module("the pack.flashtalk_core.runtime." + name)
importlib.import_module("the pack.nodes.host.fleet")
found = {name for name in sys.modules if name.startswith("torch.distributed")} - before
assert not found, found
assert not {"ray", "xfuser"} & sys.modules.keys()
assert "the pack.flashtalk_core.parallel.torch_collectives" not in sys.modules
"""


def test_the_process_of_comfyui_imports_no_exchange_between_processes():
    done = subprocess.run(
        [sys.executable, "-I", "-c", NODES + ADDED, str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
