"""When a step is recorded and recorded again, with a stand-in for the graph on a CPU."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from flashtalk_core.acceleration.apply import release_graphs, set_graph
from flashtalk_core.acceleration.recording import Addresses, fixed_copies, refill
from flashtalk_core.acceleration.step_graph import StepGraph, _FixedAudio, is_worth_recording
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.transformer.runner import BlockRunner, ResidentBlocks
from flashtalk_core.models.transformer.step import run_step
from flashtalk_core.parallel.collectives import Alone
from flashtalk_core.parallel.plane import PlaneLayout

pytestmark = pytest.mark.cpu

CONFIG = DiTConfig(
    dim=32, ffn_dim=48, freq_dim=16, text_dim=20, text_len=9, num_heads=2, num_layers=2,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=16,
    audio_context_tokens=4, clip_dim=12, clip_tokens=5,
)  # fmt: skip
TIMES = (1000.0, 500.0)


class Captures:
    """Stands in for CUDA: replays by computing again from the tensors that were recorded."""

    def __init__(self, error=None):
        self.count = 0
        self.error = error

    def __call__(self, run, device):
        self.count += 1
        if self.error is not None:
            raise self.error
        output = run()

        def replay():
            output.copy_(run())
            return output

        return replay


class Scene:
    """A transformer, and what it draws from."""

    def __init__(self):
        torch.manual_seed(0)
        self.dit = AvatarDiT(CONFIG).eval().requires_grad_(False)
        self.captures = Captures()
        self.graph = StepGraph("on", self.captures)

    def session(self, seed=0, size=(4, 6)):
        draw = drawing(seed)
        return self.dit.project_session(draw(20, 3, *size), draw(6, 20), draw(5, 12), TIMES)

    def audio(self, seed=0):
        return self.dit.project_audio(drawing(seed)(9, 5, 2, 6))

    def check(self, session, audio, seed, time=TIMES[0]):
        """Compare a step with the eager one."""
        latent = drawing(seed)(16, *session.condition.shape[2:])
        timestep = torch.tensor([time])
        self.dit.step_execution = run_step
        expected = self.dit(latent, timestep, session, audio)
        self.dit.step_execution = self.graph
        found = self.dit(latent, timestep, session, audio)
        assert torch.equal(found, expected)
        return found


def drawing(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(1, *shape, generator=generator)


@pytest.fixture
def scene():
    with torch.no_grad():
        yield Scene()


def test_the_first_step_is_eager_the_second_recorded_and_later_ones_are_replayed(scene):
    session, audio = scene.session(), scene.audio()
    counts, results = [], []
    for seed, time in ((1, 1000.0), (2, 500.0), (3, 1000.0), (4, 250.0)):
        results.append(scene.check(session, audio, seed, time))
        counts.append(scene.captures.count)
    assert counts == [0, 1, 1, 1]
    assert not torch.equal(results[1], results[2]), "a result is no part of the graph"


def test_every_chunk_brings_audio_of_its_own(scene):
    session, chunks = scene.session(), [scene.audio(seed) for seed in range(3)]
    for number in (0, 0, 1, 2, 1, 0):
        scene.check(session, chunks[number], 1)
    assert scene.captures.count == 1


@pytest.mark.parametrize("size", [(4, 6), (6, 8)])
def test_another_session_or_size_is_recorded_again(scene, size):
    first, second, audio = scene.session(0), scene.session(1, size), scene.audio()
    for session in (first, first, first, second, second, second):
        scene.check(session, audio, 1)
    assert scene.captures.count == 2


def test_a_session_is_not_kept_alive(scene):
    session, audio = scene.session(), scene.audio()
    for seed in range(3):
        scene.check(session, audio, seed)
    scene.captures = scene.graph = None
    scene.dit.step_execution._capture = None
    scene.dit.step_execution._recorded._recording._replay = None  # the stand-in refers to it
    found = weakref.ref(session)
    del session
    gc.collect()
    assert found() is None


def test_weights_that_were_moved_are_recorded_again(scene):
    session, audio = scene.session(), scene.audio()
    for seed in range(3):
        scene.check(session, audio, seed)
    old = [parameter.data for parameter in scene.dit.parameters()]
    for parameter in scene.dit.parameters():
        parameter.data = parameter.data.clone()
    for seed in range(3):
        scene.check(session, audio, seed)
    assert scene.captures.count == 2
    assert old, "kept until here, so that nothing takes its place"


def test_buffers_are_watched_too_and_nothing_changes_by_itself(scene):
    addresses = Addresses(scene.dit.modules())
    assert not addresses.have_changed()
    layer = torch.nn.BatchNorm1d(3)
    addresses = Addresses([layer])
    layer.running_mean = layer.running_mean.clone()
    assert addresses.have_changed()


def test_a_released_graph_is_made_again(scene):
    session, audio = scene.session(), scene.audio()
    for seed in range(3):
        scene.check(session, audio, seed)
    release_graphs(scene.dit)
    assert scene.graph._recorded is None
    for seed in range(3):
        scene.check(session, audio, seed)
    assert scene.captures.count == 2


@pytest.mark.parametrize("error", [RuntimeError("no\nroom"), torch.OutOfMemoryError("none left")])
def test_a_failure_is_logged_once_and_steps_stay_eager(scene, error, caplog):
    session, audio = scene.session(), scene.audio()
    scene.captures.error = error
    for seed in range(4):
        scene.check(session, audio, seed)
    assert scene.captures.count == 1
    (line,) = [record.getMessage() for record in caplog.records]
    reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    assert line == (
        "a denoising step cannot be recorded as a CUDA graph here, launching its kernels one by "
        f"one: {reason}"
    )
    assert scene.graph._recorded is None, "its memory is free"


def test_a_failure_is_raised_where_other_devices_share_the_step(scene):
    session, audio = scene.session(), scene.audio()
    scene.dit.layout = PlaneLayout(Alone())  # as of one of several
    scene.captures.error = RuntimeError("no graph")
    scene.check(session, audio, 0)
    with pytest.raises(RuntimeError, match="no graph"):
        scene.check(session, audio, 1)
    assert scene.graph._recorded is None


def test_gradients_and_two_speakers_are_never_recorded(scene):
    session, audio = scene.session(), scene.audio()
    with torch.enable_grad():
        for seed in range(3):
            scene.check(session, audio, seed)
    windows, masks = drawing(0)(9, 5, 2, 6), torch.zeros(3, 8, 12)
    masks[0, :, :4] = masks[1, :, 4:8] = masks[2, :, 8:] = 1
    both = scene.dit.project_audio(torch.cat([windows, -windows]), masks=masks)
    for seed in range(3):
        scene.check(session, both, seed)
    assert scene.captures.count == 0
    assert scene.graph._recorded is None


def test_large_sizes_are_left_alone_by_default(scene):
    assert is_worth_recording("auto", 1_440, 5_120)
    assert is_worth_recording("auto", 1_512, 5_120), "an eighth of 768x448"
    assert is_worth_recording("auto", 3_024, 5_120)
    assert not is_worth_recording("auto", 9_216, 5_120)
    assert is_worth_recording("auto", 9_216, 176), "what is narrow is launched as slowly"
    assert is_worth_recording("on", 12_096, 5_120)
    assert not is_worth_recording("off", 1, 1)


def test_copies_of_audio_are_laid_out_as_the_original(scene):
    audio = scene.audio()
    fixed = _FixedAudio(audio)
    for pair, original in zip(fixed.context.blocks, audio.blocks, strict=True):
        for found, expected in zip(pair, original, strict=True):
            assert found.stride() == expected.stride()
            assert torch.equal(found, expected)
            assert found.data_ptr() != expected.data_ptr()
        assert pair[0].untyped_storage().data_ptr() == pair[1].untyped_storage().data_ptr()
    dense = replace(audio, blocks=tuple((k.clone(), v.clone()) for k, v in audio.blocks))
    assert fixed.takes(scene.audio(1))
    assert not fixed.takes(dense)


def test_copies_made_in_inference_mode_are_filled_outside_of_it():
    with torch.inference_mode():
        copies = fixed_copies([torch.ones(3)])
    with torch.no_grad():
        refill(copies, [torch.zeros(3)])
    assert not copies[0].any()


def test_graphs_are_for_resident_blocks_on_cuda_devices(scene, monkeypatch):
    dit, cpu, cuda = scene.dit, torch.device("cpu"), torch.device("cuda")
    for mode, device, is_graph in (
        ("auto", cuda, True), ("on", cuda, True), ("off", cuda, False),
        ("auto", cpu, False), ("on", cpu, False),
    ):  # fmt: skip
        set_graph(dit, mode, device)
        assert isinstance(dit.step_execution, StepGraph) == is_graph, (mode, device)
    dit.runner = BlockRunner(ResidentBlocks())  # any provider but the one of resident blocks
    set_graph(dit, "on", cuda)
    assert dit.step_execution is run_step
    dit.runner = BlockRunner()
    monkeypatch.setattr(torch.version, "hip", "6.0")
    set_graph(dit, "on", cuda)
    assert dit.step_execution is run_step


def test_nothing_is_recorded_with_cudas_own_allocator(scene, monkeypatch):
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "cudaMallocAsync")
    for mode in ("auto", "on"):
        set_graph(scene.dit, mode, cuda)
        assert scene.dit.step_execution is run_step
