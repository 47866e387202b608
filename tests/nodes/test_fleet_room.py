"""Which memory of a GPU ComfyUI counts as free, and makes free, for the processes of a fleet."""

from dataclasses import replace

import pytest
import torch

pytestmark = pytest.mark.cpu

GB = 10**9


class Gpu:
    """A GPU of 24 GB, as CUDA reports it to this process."""

    def __init__(self):
        self.name, self.total_memory = "GPU", 24 * GB
        self.held = {}
        """Bytes that others hold on it."""
        self.own_bytes = 0

    def mem_get_info(self, _device):
        return self.total_memory - sum(self.held.values()) - self.own_bytes, self.total_memory


class Workers:
    """Processes of a fleet, which answer at once and take memory of a GPU."""

    ready: dict = {}  # noqa: RUF012 - these ranks say nothing of themselves

    def __init__(self, gpu, rank_memory):
        self.is_running = True
        self.gpu = gpu
        self.rank_memory = rank_memory
        gpu.held["ranks"] = 0.7 * GB

    @property
    def memory(self):
        held = round(self.gpu.held["ranks"] - 0.7 * GB)
        found = self.rank_memory(free_bytes=20 * GB, held_bytes=held)
        return dict.fromkeys((0, 1), found)

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
def gpu(pack, monkeypatch):
    gpu = Gpu()
    monkeypatch.setattr("torch.cuda.mem_get_info", gpu.mem_get_info)
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda _device: gpu.own_bytes)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _device: gpu)
    management = pack["comfy.model_management"]
    monkeypatch.setattr(management, "extra_reserved_memory", lambda: 0.4 * GB, raising=False)
    return gpu


@pytest.fixture
def make_managed(pack, gpu):
    """Make the fleet of some devices as ComfyUI manages it, with processes that take memory."""
    fleets = pack["flashtalk_core.runtime.fleets"].fleets()
    messages = pack["flashtalk_core.runtime.messages"]
    made = []

    def make(*devices):
        fleet = fleets.get(devices)
        fleet._start = lambda _devices, _limits: Workers(gpu, messages.RankMemory)
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


DEVICES = "cuda:0", "cuda:1"


@pytest.fixture
def use_main(pack, monkeypatch):
    """Let ComfyUI work on a device."""

    def use(name):
        management = pack["comfy.model_management"]
        monkeypatch.setattr(management, "get_torch_device", lambda: torch.device(name))

    return use


def test_limits_of_the_loader_hold_from_the_next_render_on(pack, render):
    """Processes know their limits since they started, so that they are started anew."""

    def load(**given):
        return pack.run("ModelLoader", devices="cpu,cpu", **given).args[0].fleet

    starts, gpu, messages = [], Gpu(), pack["flashtalk_core.runtime.messages"]

    def start(_devices, limits):
        starts.append((limits.load_s, limits.step_s, limits.stop_s))
        return Workers(gpu, messages.RankMemory)

    usual = load()
    usual._fleet._start = start
    render(usual)
    for limits in ("load=1800, step=20", "step=20,load=1800.0"):
        changed = load(limits=limits)
        assert changed._fleet is usual._fleet
        render(changed)
    render(load(limits=""))
    assert starts == [(900, None, 5), (1800, 20, 5), (900, None, 5)]
    usual._fleet.close()


def test_limits_that_are_wrong_or_hold_for_nothing_are_said(pack, caplog):
    assert "limit 'fast': use start, load, step, stop" in pack.error("ModelLoader", limits="fast")
    wide = pack.error("ModelLoader", devices="cpu,cpu", limits="load=1e9")
    assert wide.startswith("FlashTalk Model Loader, input 'limits': limit load 1000000000.0 s: ")
    pack.run("ModelLoader", limits="load=60")
    assert "limits load=60: not used, one device renders in ComfyUI's process" in caplog.text


def test_comfyui_makes_room_on_each_device_for_what_processes_do_not_hold(
    pack, make_managed, render, use_main, monkeypatch
):
    use_main("cuda:0")
    managed = make_managed(*DEVICES)
    missing = []
    load = pack["comfy.model_management"].load_models_gpu

    def note(models, **settings):
        found = {str(each.load_device): each.model_size() - each.loaded_size() for each in models}
        missing.append(found)
        load(models, **settings)

    monkeypatch.setattr(pack["comfy.model_management"], "load_models_gpu", note)
    render(managed)
    render(managed)  # weights are there, what steps need is not
    managed._fleet.release()
    render(managed)
    managed._fleet.close()
    render(managed)
    whole, rest = (dict.fromkeys(DEVICES, each) for each in (16 * GB, 16 * GB - 14_400_000_000))
    assert missing == [whole, rest, whole, whole]


@pytest.mark.parametrize("evicted", [0, 1])
def test_an_eviction_on_any_device_reaches_all_processes(make_managed, render, use_main, evicted):
    use_main("cuda:0")
    managed = make_managed(*DEVICES)
    render(managed)
    assert managed._fleet.held_bytes("cuda:1") > 14 * GB
    patcher = managed.patchers[evicted]
    assert patcher.loaded_size() == 16 * GB
    patcher.detach()
    assert not managed._fleet.holds_weights
    assert managed._fleet.held_bytes("cuda:1") == patcher.loaded_size() == 0


@pytest.mark.parametrize(
    ("main", "sizes"),
    [
        ("cuda:0", {"cuda:0": 16 * GB, "cuda:1": 16 * GB}),
        ("cuda:2", {"cuda:2": 0, "cuda:0": 16 * GB, "cuda:1": 16 * GB}),
        ("cpu", {"cpu": 0, "cuda:0": 16 * GB, "cuda:1": 16 * GB}),
    ],
)
def test_freeing_on_comfyuis_own_device_reaches_processes_of_others(
    pack, make_managed, render, use_main, main, sizes
):
    """Older ComfyUI frees on that device alone."""
    use_main(main)
    managed = make_managed(*DEVICES)
    render(managed)
    assert {str(each.load_device): each.model_size() for each in managed.patchers} == sizes
    pack["comfy.model_management"].unload_all_models()
    assert managed._fleet.is_running
    assert not managed._fleet.holds_weights


@pytest.fixture
def plan_memory(pack, monkeypatch):
    """Plan a model of 40 blocks of which the GPU has room for some."""
    core = "flashtalk_core.placement."
    for name in ("fp8_unsupported_reason", "fp8_missing_reason"):
        monkeypatch.setattr(pack[core + "memory_choice"], name, lambda _gpu: None)
    monkeypatch.setattr(pack[core + "memory_choice"], "multiplies_fp8", lambda _gpu: True)
    blocks = {False: (0, 0, 800_000_000), True: (0, 0, 400_000_000)}
    sizes = pack[core + "memory_sizes"].ModelSizes(
        dtype=torch.bfloat16, num_blocks=60, blocks=blocks, others=2 * GB, step=2 * GB,
        decode={False: GB, True: GB},
    )  # fmt: skip
    choice = pack[core + "memory_plan"].MemoryChoice.parse("auto")
    first, *others = map(torch.device, DEVICES)

    def plan_memory():
        free = pack["nodes.host.devices"].usable_bytes(first)
        return pack[core + "memory_choice"].plan_memory(choice, lambda: sizes, first, free, others)

    return plan_memory


def test_a_plan_is_the_same_while_a_fleet_holds_weights(make_managed, render, gpu, plan_memory):
    gpu.held["desktop"] = GB
    gpu.own_bytes = 5 * GB
    first = plan_memory()
    assert 0 < first.num_resident < 60
    managed = make_managed(*DEVICES)
    gpu.own_bytes = GB  # models of ComfyUI made room
    for end in (lambda: None, managed._fleet.release, managed._fleet.close):
        render(managed)
        end()
        assert plan_memory() == first


def test_what_other_programs_take_meanwhile_is_not_of_the_fleet(
    make_managed, render, gpu, plan_memory
):
    first = plan_memory()
    managed = make_managed(*DEVICES)
    render(managed)
    managed._fleet.release()
    gpu.held["game"] = 6 * GB
    assert plan_memory().num_resident < first.num_resident
