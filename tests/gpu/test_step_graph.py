"""Steps and the audio encoder as CUDA graphs on a real GPU: equal to eager execution to the bit."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from flashtalk_core.acceleration import recording
from flashtalk_core.acceleration.apply import release_graphs, set_execution, set_graph
from flashtalk_core.acceleration.attention_kernels import choose_attention
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.acceleration.step_graph import StepGraph
from flashtalk_core.acceleration.support import choose_kernel_options
from flashtalk_core.bench.random_networks import random_network
from flashtalk_core.config.networks import AudioEncoderConfig, DiTConfig
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.transformer.step import run_step
from flashtalk_core.quantization.blocks import convert_blocks
from flashtalk_core.quantization.fp8 import choose_format, fp8_unsupported_reason
from flashtalk_core.sampling.noise import ChunkNoise
from flashtalk_core.sampling.schedule import model_timesteps, noise_levels
from flashtalk_core.sampling.step import denoise

pytestmark = pytest.mark.gpu

DEVICE = torch.device("cuda:0")
CONFIG = DiTConfig(
    dim=1024, ffn_dim=2048, freq_dim=64, text_dim=64, text_len=32, num_heads=8, num_layers=3,
    audio_channels=32, audio_blocks=2, audio_intermediate_dim=64, audio_output_dim=128,
    audio_context_tokens=16, clip_dim=64, clip_tokens=17,
)  # fmt: skip
LATENTS, STEPS, SHIFT = 3, 4, 5.0
FORMATS = ["bfloat16", "float8"]


def make_dit(name="bfloat16", speed="fused", attention="auto"):
    if name == "float8" and (reason := fp8_unsupported_reason(DEVICE)):
        pytest.skip(reason)
    kernel = choose_attention(attention, DEVICE)
    dit = random_network(lambda: AvatarDiT(CONFIG, kernel), DEVICE, torch.bfloat16)
    convert_blocks(dit, choose_format(float8=name == "float8"), DEVICE)
    set_execution(dit, choose_kernel_options(speed, DEVICE), DEVICE)
    return dit


def drawing(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(1, *shape, generator=generator).to(DEVICE, torch.bfloat16)


def make_session(dit, seed=0, size=(16, 20)):
    draw = drawing(seed)
    times = model_timesteps(STEPS, SHIFT)
    return dit.project_session(draw(20, LATENTS, *size), draw(6, 64), draw(17, 64), times)


def make_audio(dit, seed=0):
    return dit.project_audio(drawing(seed)(1 + 4 * (LATENTS - 1), 5, 2, 32))


def draw_chunk(dit, session, audio, seed=0, rule="renoise"):
    """Denoise a chunk as the engine does."""
    noise, shape = ChunkNoise(seed, 0), (1, 16, *session.condition.shape[2:])
    return denoise(
        lambda latent, level: dit(latent, torch.tensor([1000 * level]), session, audio),
        noise_levels(STEPS, SHIFT),
        drawing(seed)(16, 1, *shape[3:]).float(),
        rule,
        lambda: noise.draw(shape, DEVICE, torch.float32),
    )


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def with_graph(dit, draw):
    """Return what ``draw`` gives as a graph; the graph stays on."""
    set_graph(dit, "on", DEVICE)
    assert isinstance(dit.step_execution, StepGraph)
    found = draw()
    assert not dit.step_execution._has_failed
    assert dit.step_execution._recorded._recording._replay is not None
    return found


def eager(dit, draw):
    """Return what ``draw`` gives launched kernel by kernel; the graph that was on is kept."""
    kept, dit.step_execution = dit.step_execution, run_step
    try:
        return draw()
    finally:
        dit.step_execution = kept


@pytest.mark.parametrize("size", [(6, 4), (16, 20), (32, 18), (64, 64)])
@pytest.mark.parametrize("name", FORMATS)
def test_chunks_are_equal_to_the_bit_at_every_size(name, size):
    dit = make_dit(name)
    session, audio = make_session(dit, size=size), make_audio(dit)
    chunk = lambda: draw_chunk(dit, session, audio)  # noqa: E731
    expected = eager(dit, chunk)
    assert torch.equal(with_graph(dit, chunk), expected)
    assert torch.equal(chunk(), expected), "all steps replayed"
    assert float(expected.float().std()) > 0.1


@pytest.mark.parametrize("rule", ["renoise", "euler"])
@pytest.mark.parametrize("speed", ["plain", "fused"])
def test_both_rules_and_modes(speed, rule):
    dit = make_dit(speed=speed)
    session, audio = make_session(dit), make_audio(dit)
    expected = eager(dit, lambda: draw_chunk(dit, session, audio, rule=rule))
    for _ in range(2):
        found = with_graph(dit, lambda: draw_chunk(dit, session, audio, rule=rule))
        assert torch.equal(found, expected)


@pytest.mark.filterwarnings(
    "ignore:.*script_method:DeprecationWarning",
    "ignore:.*should not be instantiated:DeprecationWarning",  # what Dynamo does with a kernel
)
def test_compiled_blocks_are_recorded_too():
    dit = make_dit(speed="compiled")
    session, audio = make_session(dit), make_audio(dit)
    expected = eager(dit, lambda: draw_chunk(dit, session, audio))
    assert torch.equal(with_graph(dit, lambda: draw_chunk(dit, session, audio)), expected)


@pytest.mark.parametrize("attention", ["sdpa", "sdpa-cudnn", "flash-attn-3", "flash-attn-3-fp8"])
def test_every_kernel_of_attention_can_be_recorded(attention):
    from flashtalk_core.errors import InvalidInputError

    try:
        dit = make_dit(attention=attention)
    except InvalidInputError as error:
        pytest.skip(str(error))
    session, audio = make_session(dit), make_audio(dit)
    expected = eager(dit, lambda: draw_chunk(dit, session, audio))
    assert torch.equal(with_graph(dit, lambda: draw_chunk(dit, session, audio)), expected)


def test_other_audio_and_another_session_are_seen():
    dit, captures = make_dit(), []
    sessions = [make_session(dit, seed) for seed in range(2)]
    set_graph(dit, "on", DEVICE)
    dit.step_execution._capture = recording_of(captures)
    for number, session in enumerate(sessions):
        results = []
        for seed in (0, 1, 0):
            audio = make_audio(dit, seed)
            expected = eager(dit, lambda s=session, a=audio: draw_chunk(dit, s, a))
            assert torch.equal(draw_chunk(dit, session, audio), expected)
            results.append(expected)
        assert not torch.equal(results[0], results[1])
        assert torch.equal(results[0], results[2])
        assert len(captures) == number + 1


def recording_of(captures):
    def capture(run, device):
        captures.append(device)
        return recording.capture(run, device)

    return capture


@pytest.mark.parametrize("name", FORMATS)
def test_weights_moved_to_the_host_and_back_are_found_again(name):
    dit = make_dit(name)
    session, audio = make_session(dit), make_audio(dit)
    chunk = lambda: draw_chunk(dit, session, audio)  # noqa: E731
    expected = eager(dit, chunk)
    assert torch.equal(with_graph(dit, chunk), expected)
    dit.to("cpu")
    torch.cuda.empty_cache()
    taken = torch.full((64, 2**20), float("nan"), device=DEVICE)  # where the weights were
    dit.to(DEVICE)
    assert torch.equal(chunk(), expected)
    assert not dit.step_execution._has_failed
    assert taken.isnan().all()


def test_inference_mode_and_outside_of_it_share_a_recording():
    """ComfyUI runs nodes in inference mode."""
    dit = make_dit()
    with torch.inference_mode():
        session, audio = make_session(dit), make_audio(dit)
        expected = eager(dit, lambda: draw_chunk(dit, session, audio))
        found = with_graph(dit, lambda: draw_chunk(dit, session, audio))
        assert torch.equal(found, expected)
    assert torch.equal(draw_chunk(dit, session, audio), expected)
    other = make_audio(dit, 1)
    expected = eager(dit, lambda: draw_chunk(dit, session, other))
    assert torch.equal(draw_chunk(dit, session, other), expected)


def test_a_capture_that_is_not_allowed_falls_back_with_one_line(caplog):
    dit = make_dit()
    session, audio = make_session(dit), make_audio(dit)
    expected = eager(dit, lambda: draw_chunk(dit, session, audio))
    real = dit.blocks[0].self_attn.attention

    def waits(q, k, v):
        float(q.flatten()[0])  # reads a number back
        return real(q, k, v)

    dit.blocks[0].self_attn.attention = waits
    set_graph(dit, "on", DEVICE)
    for _ in range(2):
        assert torch.equal(draw_chunk(dit, session, audio), expected)
    lines = [r.getMessage() for r in caplog.records if "CUDA graph" in r.getMessage()]
    assert len(lines) == 1, lines
    assert dit.step_execution._recorded is None
    # Nothing of the failed recording is left in the way of another one.
    dit.blocks[0].self_attn.attention = real
    assert torch.equal(with_graph(dit, lambda: draw_chunk(dit, session, audio)), expected)


def test_no_room_for_a_graph_falls_back_with_one_line(caplog):
    dit = make_dit()
    session, audio = make_session(dit, size=(64, 64)), make_audio(dit)
    expected = eager(dit, lambda: draw_chunk(dit, session, audio))
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    set_graph(dit, "on", DEVICE)
    torch.cuda.empty_cache()

    def capture(run, device):
        # What is in use stays; nothing can be added.
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(
            (torch.cuda.memory_reserved(device) + 2**20) / total, device
        )
        try:
            return recording.capture(run, device)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)

    dit.step_execution._capture = capture
    for _ in range(2):
        assert torch.equal(draw_chunk(dit, session, audio), expected)
    lines = [r.getMessage() for r in caplog.records if "CUDA graph" in r.getMessage()]
    assert len(lines) == 1, lines
    assert "OutOfMemoryError" in lines[0]


def test_other_threads_may_allocate_while_a_step_is_recorded():
    dit = make_dit()
    session, audio = make_session(dit), make_audio(dit)
    expected = eager(dit, lambda: draw_chunk(dit, session, audio))
    stop = threading.Event()

    def work():
        stream = torch.cuda.Stream(DEVICE)
        with torch.cuda.stream(stream):
            while not stop.is_set():
                # Copied back as frames are, through pinned memory.
                torch.ones(2**20, device=DEVICE).to("cpu", non_blocking=True)
                torch.empty(2**16).pin_memory()
                stream.synchronize()
                torch.empty(3 * 2**24, device=DEVICE)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(3):
            found = with_graph(dit, lambda: draw_chunk(dit, session, audio))
            assert torch.equal(found, expected)
    finally:
        stop.set()
        thread.join()


def test_a_released_graph_gives_its_memory_back():
    dit = make_dit()
    session, audio = make_session(dit, size=(64, 64)), make_audio(dit)

    def reserved():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    with_graph(dit, lambda: draw_chunk(dit, session, audio))
    release_graphs(dit)
    before = reserved()
    for _ in range(3):
        with_graph(dit, lambda: draw_chunk(dit, session, audio))
        held = reserved()
        release_graphs(dit)
        assert reserved() <= before + 2**23
        assert held > before + 2**23, "or nothing was measured"


def test_a_graph_is_not_recorded_within_another():
    dit = make_dit()
    session, audio = make_session(dit), make_audio(dit)
    set_graph(dit, "on", DEVICE)
    latent, time = drawing(0)(16, LATENTS, 16, 20).float(), torch.tensor([1000.0])
    expected = dit(latent, time, session, audio)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = dit(latent, time, session, audio)
    graph.replay()
    assert torch.equal(found, expected)


@pytest.fixture(scope="module")
def encoder():
    return random_network(lambda: AudioEncoder(AudioEncoderConfig()), DEVICE, torch.bfloat16)


def test_the_audio_encoder_is_equal_to_the_bit(encoder):
    set_execution(encoder, KernelOptions.eager(), DEVICE, graph="on")
    for seed, seconds, frames in ((0, 8, 200), (1, 8, 200), (2, 8, 200), (3, 4, 100), (4, 4, 100)):
        generator = torch.Generator().manual_seed(seed)
        samples = torch.randn(1, seconds * 16_000, generator=generator).to(DEVICE)
        expected = encoder.encode(samples, frames)
        for _ in range(3):
            assert torch.equal(encoder(samples, frames), expected)
    assert not encoder.execution._has_failed
    assert encoder.execution._recorded._recording._replay is not None


def test_the_audio_encoder_agrees_with_float32(encoder):
    """The bound that holds for bfloat16 without a graph."""
    set_execution(encoder, KernelOptions.eager(), DEVICE, graph="on")
    samples = torch.randn(1, 8 * 16_000, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    for _ in range(3):
        found = encoder(samples, 200).float()
    wide = AudioEncoder(AudioEncoderConfig()).eval().to(DEVICE)
    wide.load_state_dict(encoder.state_dict())
    expected = wide(samples, 200)
    assert float((found - expected).norm() / expected.norm()) < 0.05


def test_no_step_is_recorded_with_cudas_own_allocator():
    """ComfyUI uses it by default, and a recording would end the process."""
    code = (
        "import torch\n"
        "from flashtalk_core.acceleration.support import graphs_work\n"
        "torch.zeros(1, device='cuda')\n"
        "assert not graphs_work()"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
