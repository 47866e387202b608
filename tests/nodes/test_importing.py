"""Importing the pack in a fresh interpreter: fast, silent, without optional packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
HOST = Path(__file__).with_name("host")

MOST_MODULES = 120
"""Modules that the import may load which torch and ComfyUI have not loaded already."""

OPTIONAL = ("cv2", "flash_attn", "flash_attn_interface", "xfuser", "ftfy", "soundfile")
SCRIPT = f"""
import asyncio, logging, os, sys, threading
sys.path.insert(0, {str(HOST)!r})
for name in {{blocked}}:
    sys.modules[name] = None  # importing it fails
import torch, comfy_api.latest, folder_paths
folder_paths.use_base(os.environ["BASE"])
from importlib.util import module_from_spec, spec_from_file_location
before = set(sys.modules), list(sys.path), threading.active_count(), len(logging.root.handlers)
spec = spec_from_file_location(
    "some folder name", {str(ROOT / "__init__.py")!r},
    submodule_search_locations=[{str(ROOT)!r}],
)
pack = sys.modules[spec.name] = module_from_spec(spec)
spec.loader.exec_module(pack)
extension = asyncio.run(pack.comfy_entrypoint())
asyncio.run(extension.on_load())
nodes = asyncio.run(extension.get_node_list())
schemas = [node.GET_SCHEMA() for node in nodes]
after = set(sys.modules), list(sys.path), threading.active_count(), len(logging.root.handlers)
"""


def run(tail, blocked=(), **environment):
    """Return what a fresh interpreter prints after it imported the pack."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT.format(blocked=tuple(blocked)) + tail],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        env=os.environ | environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_import_loads_little_and_leaves_the_interpreter_as_it_was(tmp_path):
    tail = """
heavy = {"transformers", "scipy", "av", "sentencepiece", "safetensors", "flashtalk_core"}
new = after[0] - before[0]
assert not heavy & {name.partition(".")[0] for name in new}, heavy & new
assert after[1:] == before[1:]
assert torch.is_grad_enabled()
print(len(new), len(nodes), pack.WEB_DIRECTORY)
"""
    num_modules, num_nodes, folder = run(tail, BASE=str(tmp_path)).split()
    # What takes the time is how much is imported, and that is the same on every machine.
    assert int(num_modules) < MOST_MODULES
    assert num_nodes == "14"
    assert folder == "./js"


def test_optional_packages_may_be_absent(tmp_path):
    tail = """
logging.disable()  # a log line about an absent one is fine
image, sound = torch.rand(1, 32, 32, 3), torch.rand(1, 1, 1600) * 0.1
_, loader, encode, reference, sampler, decode, preview, *_ = nodes
values = {each.id: each.default for each in loader.GET_SCHEMA().inputs}
model = loader.execute(**values).args[0]
speech = encode.execute({"waveform": sound, "sample_rate": 16000}, 1.0, 0.0, 0.0, -23.0).args[0]
size = {"size": "custom", "width": 32, "height": 32}
portrait = reference.execute(image, "", "", "crop", size).args[0]
settings = dict(seed=0, steps=1, rule="euler", shift=5.0, motion_frames=1, colour_strength=1.0)
chunks = sampler.execute(model, speech, portrait, chunk_frames=5, **settings).args[0]
frames = decode.execute(chunks, "with the model", 1, "auto").args[0]
preview.hidden = comfy_api.latest.io.HiddenValues()
preview.execute(frames, "clip", 18, "mp4", 0.0)
"""
    assert run(tail, OPTIONAL, BASE=str(tmp_path)) == ""
    assert (tmp_path / "output/clip_00001_.mp4").is_file()
