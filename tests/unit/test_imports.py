"""Importing the core needs no accelerator and changes nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]

# Run in a process of its own. ``None`` in ``sys.modules`` marks a package as absent for
# Python: imports raise ModuleNotFoundError, and ``find_spec`` finds nothing.
SCRIPT = """
import sys
for name in ("xfuser", "flash_attn", "flash_attn_interface", "fa3_fwd_interface", "sageattention",
             "xformers", "triton", "ray", "aiortc"):
    sys.modules[name] = None

import importlib, logging, pkgutil, random, threading
import numpy, torch

handlers, threads = list(logging.root.handlers), threading.active_count()
torch.manual_seed(0); random.seed(0); numpy.random.seed(0)
state = torch.get_rng_state()
before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(),
          torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision(),
          random.getstate(), str(numpy.random.get_state()), list(sys.path), sys.excepthook)

import flashtalk_core
names = [m.name for m in pkgutil.walk_packages(flashtalk_core.__path__, "flashtalk_core.")]
for name in names:
    # What is made of Triton, Ray or aiortc is imported where they are, on request.
    elsewhere = ("__main__", ".ray_engines", ".webrtc.peer", ".webrtc.tracks")
    if not name.endswith(elsewhere) and ".triton." not in name:
        importlib.import_module(name)

after = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(),
         torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision(),
         random.getstate(), str(numpy.random.get_state()), list(sys.path), sys.excepthook)
assert len(names) > 30, names
assert before == after, [(b, a) for b, a in zip(before, after) if b != a]
assert torch.equal(state, torch.get_rng_state()), "random numbers were drawn"
assert threading.active_count() == threads, threading.enumerate()
assert not torch.cuda.is_initialized(), "CUDA was initialised"
assert logging.root.handlers == handlers, logging.root.handlers
loggers = [logging.getLogger(n) for n in logging.root.manager.loggerDict if "flashtalk" in n]
assert not any(logger.handlers for logger in loggers), loggers
heavy = {"transformers", "soundfile", "av", "scipy", "sentencepiece", "pyloudnorm", "soxr", "comfy"}
heavy &= sys.modules.keys()
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def importing():
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_module_imports_without_optional_packages_or_side_effects(importing):
    assert importing.returncode == 0, importing.stderr


def test_importing_prints_nothing(importing):
    lines = (importing.stdout + importing.stderr).splitlines()
    # torch 2.11 itself logs that there is no Triton, which this test sees to.
    assert [line for line in lines if "flop_counter.py" not in line] == []
