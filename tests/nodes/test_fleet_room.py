"""Which memory of a GPU ComfyUI counts as free, and makes free, for the processes of a fleet."""

from dataclasses import replace

import pytest

pytestmark = pytest.mark.cpu

GB = 10**9


class Gpu:
    """A GPU of 24 GB, as CUDA reports it to this process."""

    def __init__(self):
        self.total_memory = 24 * GB
        self.held = {}
        """Bytes that others hold on it."""
        self.own_bytes = 0

    def mem_get_info(self, _device):
        return self.total_memory - sum(self.held.values()) - self.own_bytes, self.total_memory


class Workers:
    """Processes of a fleet, which answer at once and take memory of a GPU."""

    ready: dict = {}  # noqa: RUF012 - none of these ranks reports what is free

    def __init__(self, gpu):
        self.is_running = True
        self.gpu = gpu
        gpu.held["ranks"] = 0.7 * GB

    def share_frames(self, _chunk, _size_px):
        return None

    def free_frames(self):
        pass

    def run(self, make, _blobs=()):
        assert type(make(1)).__name__ == "OpenJob"
        self.gpu.held["ranks"] = 15.1 * GB
        return iter(())

    def run_quietly(self, make):
        if make(1).networks:
            self.gpu.held["ranks"] = 0.7 * GB

    def settle(self):
        pass

    def close(self):
        self.is_running = False
        self.gpu.held["ranks"] = 0

    kill = close


@pytest.fixture
def gpu():
    return Gpu()


@pytest.fixture
def make_managed(pack, gpu):
    """Make the fleet of some devices as ComfyUI manages it, with processes that take memory."""
    fleets = pack["flashtalk_core.runtime.fleets"].fleets()
    made = []

    def make(*devices):
        fleet = fleets.get(devices)
        fleet._start = lambda _devices, _limits: Workers(gpu)
        made.append(fleet)
        return pack["nodes.host.fleet"].ManagedFleet(fleet)

    yield make
    for fleet in made:
        fleet.close()


@pytest.fixture
def render(pack, model):
    """Open a session of a fleet, and end it."""
    plan = pack.frames(model).plan
    memory = replace(plan.placement.memory, peak_bytes=16 * GB)
    plan = replace(plan, placement=replace(plan.placement, memory=memory))
    probe = pack["flashtalk_core.media.audio.probe"]
    no_events = pack["flashtalk_core.engine.events"].NO_EVENTS

    def render(managed):
        engine = managed.engine_for(16 * GB)
        samples = probe.AnalysisStream(plan.audio, plan.chunk.sample_rate_hz)
        with samples, engine.open(plan, samples, no_events):
            pass

    return render


def test_comfyui_makes_room_again_when_a_fleet_has_freed_its_weights(
    pack, make_managed, render, monkeypatch
):
    managed = make_managed("cpu", "cpu")
    loaded_bytes = []
    load = pack["comfy.model_management"].load_models_gpu

    def note(models, **settings):
        loaded_bytes.append(managed.patcher.loaded_size())
        load(models, **settings)

    monkeypatch.setattr(pack["comfy.model_management"], "load_models_gpu", note)
    render(managed)
    render(managed)  # nothing is to be loaded
    managed._fleet.release()
    render(managed)
    managed._fleet.close()
    render(managed)
    assert loaded_bytes == [0, 16 * GB, 0, 0]
