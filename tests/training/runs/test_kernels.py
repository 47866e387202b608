"""Compiled kernels that are kept with a run."""

import logging
import shutil

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_inductor_cache
from torch.compiler._cache import CacheArtifactManager

from flashtalk_training.runs import kernels
from flashtalk_training.runs.kernels import KernelCache
from flashtalk_training.runs.states import save_state

pytestmark = pytest.mark.training

CPU = torch.device("cpu")


def compile_and_train():
    """Compile a small network forth and back as a new process would; return what was compiled."""
    torch._dynamo.reset()
    counters.clear()
    layer = torch.nn.Linear(8, 8)
    torch.compile(layer, dynamic=False)(torch.ones(2, 8)).square().sum().backward()
    found = counters["aot_autograd"]
    return found["autograd_cache_miss"], found["autograd_cache_hit"]


@pytest.fixture
def as_new_process():
    """Forget all that was compiled, in memory and on the disk, and what there is to save."""

    def start(work):
        with fresh_inductor_cache(), CacheArtifactManager.with_fresh_cache():
            return work()

    yield start
    torch._dynamo.reset()


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")
def test_a_second_start_compiles_nothing(tmp_path, as_new_process, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(kernels, "_PART_BYTES", 10_000)

    def first():
        cache = KernelCache(tmp_path, CPU)
        assert compile_and_train() == (1, 0)
        cache.save()
        cache.save()

    def second():
        cache = KernelCache(tmp_path, CPU)
        assert compile_and_train() == (0, 1)
        cache.save()

    as_new_process(first)
    assert "MB of compiled kernels" in caplog.text
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    as_new_process(second)
    assert "compiled parts from" in caplog.text
    # Nothing was new, so that nothing was written.
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_kernels_that_cannot_be_used_are_reported_and_compiled_anew(tmp_path, caplog):
    (tmp_path / "kernels-0.safetensors").write_bytes(b"cut off")
    KernelCache(tmp_path, CPU)
    assert "compiling anew: " in caplog.text
    assert "kernels-0.safetensors: not a whole safetensors file" in caplog.text


def test_kernels_of_another_machine_or_torch_are_left_alone(tmp_path, caplog):
    notes = {"step": 0.0, "machine": kernels._machine(CPU)}
    junk = {"part.0": torch.zeros(8, dtype=torch.uint8)}
    save_state(tmp_path, "kernels", junk, {**notes, "machine": 1.0})
    KernelCache(tmp_path, CPU)
    assert "compil" not in caplog.text
    save_state(tmp_path, "kernels", junk, notes)
    KernelCache(tmp_path, CPU)
    assert "kernels are of another torch; compiling anew" in caplog.text
