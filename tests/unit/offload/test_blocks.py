"""Blocks whose weights wait on the host: the same numbers, less memory, whatever happens."""

import copy
from dataclasses import replace

import pytest
import torch

from flashtalk_core.acceleration.apply import set_execution
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.transformer.runner import BlockRunner, run_eager
from flashtalk_core.offload.blocks import BlockOffload, split_block, spread
from flashtalk_core.offload.host_weights import HostWeights
from flashtalk_core.offload.weight_stream import WeightStream
from flashtalk_core.quantization.blocks import BlockConverter, convert_blocks
from flashtalk_core.quantization.fp8 import FP8, choose_format

CPU = pytest.mark.cpu
GPU = pytest.mark.gpu
NUM_BLOCKS = 7

CONFIG = DiTConfig(
    dim=32, ffn_dim=48, freq_dim=16, text_dim=20, text_len=9, num_heads=2, num_layers=NUM_BLOCKS,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=16,
    audio_context_tokens=4, clip_dim=12, clip_tokens=5,
)  # fmt: skip


def make_dit(device="cpu", dtype=torch.float32):
    torch.manual_seed(0)
    dit = AvatarDiT(CONFIG).eval().requires_grad_(False)
    for parameter in dit.parameters():  # no two blocks alike, and nothing that is zero
        parameter.add_(0.1 * torch.randn_like(parameter))
    return dit.to(device, dtype)


def offloaded(num_resident, device="cpu", dtype=torch.float32, float8=False):
    dit = make_dit(device, dtype)
    device = torch.device(device)
    offload = BlockOffload(device, num_resident)
    hooks = [BlockConverter(choose_format(float8=float8), device), offload]
    for hook in hooks:
        hook.on_module_built(dit)
    for number in range(NUM_BLOCKS):
        for hook in hooks:
            hook.on_layer_loaded(number)
    dit.runner = BlockRunner(offload)
    return dit, offload


@torch.no_grad()
def run(dit, steps=2):
    generator = torch.Generator().manual_seed(1)
    weight = dit.patch_embedding.weight

    def draw(*shape):
        return torch.randn(1, *shape, generator=generator).to(weight)

    session = dit.project_session(draw(20, 3, 4, 6), draw(6, 20), draw(5, 12))
    audio = dit.project_audio(draw(9, 5, 2, 6))
    times = torch.linspace(1000, 500, steps, device=weight.device).split(1)
    return [dit(draw(16, 3, 4, 6), time, session, audio) for time in times if steps]


def assert_equal(found, expected):
    assert expected[0].std() >= 0.1
    assert all(map(torch.equal, found, expected))


def step_bytes(block):
    return sum(tensor.nbytes for tensor in split_block(block)[2])


@CPU
@pytest.mark.parametrize("num_resident", range(NUM_BLOCKS + 1))
def test_results_are_those_of_blocks_that_stay(num_resident):
    expected = run(make_dit())
    dit, _ = offloaded(num_resident)
    assert_equal(run(dit), expected)
    assert_equal(run(dit), expected)  # a second session, from whatever is in the buffers


@CPU
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_results_in_8_bit_floats_are_those_of_8_bit_blocks_that_stay(dtype):
    plain = make_dit(dtype=dtype)
    convert_blocks(plain, FP8, torch.device("cpu"))
    dit, _ = offloaded(2, dtype=dtype, float8=True)
    assert_equal(run(dit), run(plain))


@CPU
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_blocks_that_stay_and_those_that_come_share_one_piece_of_compiled_code():
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    dit, _ = offloaded(3)
    expected = run(dit)
    torch._dynamo.reset()
    compiled = torch.compile(run_eager, backend=backend, dynamic=False, fullgraph=True)
    dit.runner = replace(dit.runner, execution=compiled)
    assert_equal(run(dit), expected)
    assert len(graphs) == 1


@CPU
@pytest.mark.parametrize("float8", [False, True])
def test_fused_blocks_give_what_fused_blocks_that_stay_give(float8):
    plain, (dit, offload) = make_dit(), offloaded(2, float8=float8)
    convert_blocks(plain, choose_format(float8=float8), torch.device("cpu"))
    set_execution(plain, KernelOptions(), torch.device("cpu"))
    set_execution(dit, KernelOptions(), torch.device("cpu"), provider=offload)
    assert_equal(run(dit), run(plain))


@CPU
def test_a_host_may_run_everything_in_inference_mode():
    expected = run(make_dit())
    dit, offload = offloaded(2)
    with torch.inference_mode():
        assert_equal(run(dit), expected)
    offload.move_to(torch.device("cpu"))
    assert_equal(run(dit), expected)


@CPU
def test_copied_bytes_are_counted():
    dit, offload = offloaded(3)
    run(dit, steps=3)
    moved, block = offload.moved_bytes, dit.blocks[0]
    ahead = 2  # fetched for the next pass
    packed = 4 * step_bytes(block)
    assert 3 * packed <= moved["step"] <= 1.05 * (3 + ahead / 4) * packed + 3 * ahead * 4096
    sizes = [sum(tensor.nbytes for tensor in part) for part in split_block(block)]
    assert NUM_BLOCKS * sizes[0] <= moved["session"] <= NUM_BLOCKS * (sizes[0] + 12 * 256)
    assert (NUM_BLOCKS + ahead) * sizes[1] <= moved["audio"]


@CPU
def test_fewer_blocks_on_the_device_take_less_of_it():
    taken = [offloaded(count)[1].device_bytes for count in (0, 3, 5)]
    block = step_bytes(make_dit().blocks[0])
    assert taken[1] - taken[0] == 3 * block
    assert taken[2] - taken[1] == 2 * block


@CPU
def test_a_pass_that_breaks_off_leaves_nothing_wrong_behind():
    expected = run(make_dit())
    dit, offload = offloaded(1)
    run(dit)
    blocks = offload.blocks_for(list(dit.blocks), "step")
    for _ in range(4):
        next(blocks)
    del blocks
    assert_equal(run(dit), expected)


@CPU
def test_weights_come_back_to_the_host_when_the_buffers_are_given_back():
    dit, offload = offloaded(0)
    weights = copy.deepcopy(dit.state_dict())
    run(dit)
    offload.move_to(torch.device("cpu"))
    plain = make_dit().state_dict()
    for name, value in dit.state_dict().items():
        assert torch.equal(value, weights[name]), name
        assert torch.equal(value, plain[name]), name


@CPU
def test_blocks_that_wait_are_spread_evenly():
    assert spread(40, 0) == frozenset()
    assert spread(8, 4) == {0, 2, 4, 6}
    assert spread(5, 5) == {0, 1, 2, 3, 4}
    assert sorted(spread(40, 27))[:4] == [0, 1, 2, 4]


@CPU
def test_no_more_layers_are_on_the_device_than_there_are_buffers():
    layers = [torch.full((300,), float(index)) for index in range(5)]
    weights = {
        index: HostWeights([layer], torch.device("cpu")) for index, layer in enumerate(layers)
    }
    stream = WeightStream(weights, torch.device("cpu"), num_buffers=2)
    assert stream.buffer_bytes == 2 * 1280
    for _ in range(3):
        for index, layer in enumerate(layers):
            stream.begin(index)
            assert layer.unique().tolist() == [index]
            stream.end(index)
    assert stream.moved_bytes == (3 * 5 + 2) * 1280


@GPU
@pytest.mark.parametrize("float8", [False, True])
def test_results_on_a_gpu_are_those_of_blocks_that_stay(float8):
    plain = make_dit("cuda", torch.bfloat16)
    if float8:
        convert_blocks(plain, FP8, torch.device("cuda"))
    dit, _ = offloaded(2, "cuda", torch.bfloat16, float8=float8)
    for _ in range(5):
        assert_equal(run(dit, steps=6), run(plain, steps=6))


@GPU
# The compiler's own imports warn.
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
@pytest.mark.parametrize("compiled", [False, True])
def test_faster_blocks_on_a_gpu_are_those_that_stay(compiled):
    plain, (dit, offload) = make_dit("cuda", torch.bfloat16), offloaded(2, "cuda", torch.bfloat16)
    device = torch.device("cuda")
    paths = KernelOptions(fused_blocks=not compiled, compiled_blocks=compiled)
    set_execution(plain, paths, device)
    set_execution(dit, paths, device, provider=offload)
    assert_equal(run(dit), run(plain))
