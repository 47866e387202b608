"""Tiers: every test carries exactly one, and runs where this machine can run it.

``pytest`` without ``-m`` and without a path runs the cpu tier, in two processes where pytest-xdist
is installed (``-n 0`` for one). Tests named by path run in whatever tier they are, the manual one
excepted, which needs ``-m manual``.
"""

import os
import re

import pytest

# Toy tensors gain nothing from threads, which cost fifty-fold once cores are shared and sum up in
# another order. Read when torch is first imported, here and in processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

TIERS = {
    *("cpu", "ranks", "e2e", "bench", "training"),
    *("browser", "comfyui", "comfyui_gpu", "gpu", "multigpu", "manual"),
}
NUM_GPUS = {"gpu": 1, "multigpu": 2}
NUM_MANUAL = pytest.StashKey[int]()
"""Tests that were left out for want of ``-m manual``."""
NAMED_TIER = re.compile(r"\bmark\.(" + "|".join(sorted(TIERS)) + r")\b")


def tiers_of(item):
    return sorted({marker.name for marker in item.iter_markers()} & TIERS)


def pytest_configure(config):
    # In ``addopts`` it would also leave out what is named by path.
    if not config.option.markexpr and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.option.markexpr = "cpu"
        if not config.option.keyword:
            share_among_processes(config.option)


def pytest_ignore_collect(collection_path, config):
    """Leave out, unread, test files that speak of other tiers alone than those of ``-m``."""
    wanted = TIERS & set(re.findall(r"\w+", config.option.markexpr))
    is_simple = wanted and not re.search(r"\bnot\b", config.option.markexpr)
    if not is_simple or not re.fullmatch(r"test_.*\.py", collection_path.name):
        return None
    tiers = set(NAMED_TIER.findall(collection_path.read_text("utf-8")))
    return True if tiers and not tiers & wanted else None


def share_among_processes(option):
    """Let pytest-xdist run all tests in two processes, unless another number was given."""
    is_asked_otherwise = option.usepdb or getattr(option, "numprocesses", 0) is not None
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not is_asked_otherwise and not is_worker:
        option.numprocesses, option.dist, option.tx = 2, "load", ["popen", "popen"]


def pytest_collection_modifyitems(config, items):
    wrong = [f"{item.nodeid}: {tiers_of(item)}" for item in items if len(tiers_of(item)) != 1]
    if wrong:
        raise pytest.UsageError(
            f"a test needs exactly one tier of {sorted(TIERS)}:\n" + "\n".join(wrong)
        )
    for item in items:
        needed = NUM_GPUS.get(tiers_of(item)[0], 0)
        if needed > count_gpus(needed):
            item.add_marker(pytest.mark.skip(reason=f"needs {needed} CUDA device(s)"))
    if "manual" not in config.option.markexpr:
        manual = [item for item in items if tiers_of(item) == ["manual"]]
        config.hook.pytest_deselected(items=manual)
        items[:] = [item for item in items if tiers_of(item) != ["manual"]]
        config.stash[NUM_MANUAL] = len(manual)


def pytest_terminal_summary(terminalreporter, config):
    count = config.stash.get(NUM_MANUAL, 0)
    if count and not config.option.markexpr:
        terminalreporter.write_line(f"{count} tests were left out: they need -m manual")


def count_gpus(needed):
    """Return CUDA devices; torch is only imported for tests that need one."""
    if not needed:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
