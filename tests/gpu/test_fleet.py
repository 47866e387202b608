"""Processes on GPUs draw what one does, over gloo and NCCL, and go on after a stop and a death."""

import os
import signal
from dataclasses import replace

import pytest
import torch

from flashtalk_core.engine.build import LocalEngine
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.errors import WorkerError
from flashtalk_core.placement.residency import CachedNetworks
from flashtalk_core.runtime.fleet import Fleet
from tests.own_decoder import write_model
from tests.unit.runtime.conftest import make_plan, render

MAX_MEAN_LEVELS = 1.0
"""Of 255: bfloat16 rounds in another order."""


def check(devices, folder):
    """Check it with the autoencoder's own decoder, whose layers run in bands."""
    plan = make_plan((), str(write_model(folder / "model")))
    place = replace(plan.placement, device=torch.device("cuda:0"), dtype=torch.bfloat16)
    plan = replace(plan, placement=place)
    alone = render(plan, LocalEngine(CachedNetworks(plan.checkpoint, plan.placement)))
    torch.cuda.empty_cache()
    plan = replace(plan, placement=replace(place, devices=devices))
    fleet = Fleet(devices)
    try:
        together = render(plan, fleet)
        assert (together.float() - alone.float()).abs().mean() < MAX_MEAN_LEVELS
        check_stops(fleet, plan, together)
    finally:
        fleet.close()


def check_stops(fleet, plan, expected):
    def stop(step):
        if step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(plan, fleet, EventHandlers(step=stop))
    assert torch.equal(render(plan, fleet), expected)

    def kill(step):
        if step == 1:
            os.kill(fleet._processes.ready[1].pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"\(rank 1\) was killed \(signal 9\)"):
        render(plan, fleet, EventHandlers(step=kill))
    assert torch.equal(render(plan, fleet), expected)


@pytest.mark.gpu
def test_two_processes_on_one_gpu_draw_what_one_does(tmp_path):
    check(("cuda:0", "cuda:0"), tmp_path)


@pytest.mark.multigpu
def test_two_gpus_draw_what_one_does(tmp_path):
    check(("cuda:0", "cuda:1"), tmp_path)
