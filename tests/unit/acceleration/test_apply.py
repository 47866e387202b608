"""Every execution mode of the transformer against the eager one, and what stays as it was."""

import importlib.util
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from flashtalk_core.acceleration import support
from flashtalk_core.acceleration.apply import compiled_execution, set_execution
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.acceleration.support import check_kernel_options, choose_kernel_options
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.transformer.runner import BlockRunner, run_eager
from flashtalk_core.quantization import fp8
from flashtalk_core.quantization.blocks import convert_blocks
from flashtalk_core.quantization.fp8 import FP8, Float8Linear, choose_format, quantise_rows
from flashtalk_core.quantization.linear_format import format_of, multiply_rows

CPU = pytest.mark.cpu
GPU = pytest.mark.gpu
# The compiler's own imports warn.
COMPILER_WARNS = pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")

CONFIG = DiTConfig(
    dim=96, ffn_dim=128, freq_dim=32, text_dim=20, text_len=9, num_heads=4, num_layers=2,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=16,
    audio_context_tokens=4, clip_dim=12, clip_tokens=5,
)  # fmt: skip


def make_dit(device="cpu", dtype=torch.float32, config=CONFIG):
    torch.manual_seed(0)
    return AvatarDiT(config).eval().to(device, dtype)


@torch.no_grad()
def run(dit, size=(4, 6)):
    generator = torch.Generator().manual_seed(1)
    weight = dit.patch_embedding.weight

    def draw(*shape):
        return torch.randn(1, *shape, generator=generator).to(weight)

    session = dit.project_session(draw(20, 3, *size), draw(6, 20), draw(5, 12))
    audio = dit.project_audio(draw(9, 5, 2, 6))
    return dit(draw(16, 3, *size), torch.tensor([750.0], device=weight.device), session, audio)


def relative_rms(result, expected):
    difference = (result.float() - expected.float()).detach()
    return float(difference.norm() / expected.detach().float().norm())


@CPU
def test_compiled_blocks_equal_plain_ones_at_every_size():
    plain, compiled = make_dit(), make_dit()
    compiled.runner = BlockRunner(execution=compiled_execution("aot_eager"))
    for size in ((4, 6), (6, 4), (4, 6)):
        torch.testing.assert_close(run(compiled, size), run(plain, size), atol=1e-5, rtol=1e-5)


@pytest.fixture
def counting():
    """What was compiled, and a compiler that only notes it."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    return graphs, backend


@CPU
def test_a_block_compiles_in_one_piece_that_all_blocks_share(counting):
    graphs, backend = counting
    dit = make_dit()
    compiled = torch.compile(run_eager, backend=backend, dynamic=False, fullgraph=True)
    dit.runner = BlockRunner(execution=compiled)
    run(dit)
    assert len(graphs) == 1


@CPU
def test_every_size_is_compiled_beyond_the_compilers_own_limit(counting):
    graphs, backend = counting
    dit = make_dit()
    with torch._dynamo.config.patch(recompile_limit=1):
        dit.runner = BlockRunner(execution=compiled_execution(backend))
        for width in (2, 4, 6):
            run(dit, (2, width))
    assert len(graphs) == 3


@CPU
def test_compiling_leaves_the_names_of_the_weights():
    dit = make_dit()
    names = set(dit.state_dict())
    dit.runner = BlockRunner(execution=compiled_execution("aot_eager"))
    run(dit)
    assert set(dit.state_dict()) == names


@CPU
def test_rows_are_scaled_to_the_range_of_the_format():
    x = torch.tensor([[1.0, -2.0, 0.5], [1e-3, 2e-3, 0.0], [0.0, 0.0, 0.0]])
    rows, scale = quantise_rows(x)
    assert rows.float().abs().amax(dim=1).tolist() == [448.0, 448.0, 0.0]
    torch.testing.assert_close(rows.float() * scale, x, atol=0, rtol=2**-4)


@CPU
def test_a_float8_layer_is_the_product_of_rounded_numbers():
    torch.manual_seed(0)
    linear = nn.Linear(64, 32)
    x = torch.randn(2, 7, 64)
    rows, scale = quantise_rows(x.flatten(0, 1))
    weight, weight_scale = quantise_rows(linear.weight)
    expected = (rows.double() * scale) @ (weight.double() * weight_scale).T + linear.bias
    result = Float8Linear(linear)(x)
    torch.testing.assert_close(result.flatten(0, 1), expected.float(), atol=1e-5, rtol=1e-5)
    assert relative_rms(result, linear(x)) < 0.05


@CPU
def test_float8_blocks_are_near_the_plain_ones_and_keep_what_is_sensitive():
    plain, small = make_dit(), make_dit()
    convert_blocks(small, FP8, torch.device("cpu"))
    assert 0 < relative_rms(run(small), run(plain)) < 0.05
    kept = {name for name, m in small.named_modules() if isinstance(m, nn.Linear)}
    inside = {name.split(".", 2)[2] for name in kept if name.startswith("blocks")}
    assert inside == {
        *(f"cross_attn.{name}" for name in ("k", "v", "k_img", "v_img")),
        *(f"audio_cross_attn.{name}" for name in ("kv_linear", "q_linear", "proj")),
    }
    assert {"time_embedding.0", "time_projection.1", "head.head", "text_embedding.0"} <= kept
    weight = small.blocks[0].ffn[0]
    assert weight.weight.dtype == torch.float8_e4m3fn
    assert weight.weight_scale.dtype == torch.float32


@CPU
@pytest.mark.parametrize("fused", [False, True])
def test_layers_of_sizes_that_no_kernel_multiplies_keep_their_format(fused):
    sizes = replace(CONFIG, ffn_dim=120)
    plain, small = make_dit(config=sizes), make_dit(config=sizes)
    convert_blocks(small, FP8, torch.device("cpu"))
    set_execution(small, KernelOptions() if fused else KernelOptions.eager(), torch.device("cpu"))
    block = small.blocks[0]
    assert isinstance(block.self_attn.q, Float8Linear)
    assert type(block.ffn[0]) is type(block.ffn[2]) is nn.Linear
    assert 0 < relative_rms(run(small), run(plain)) < 0.05


@CPU
def test_without_fast_paths_the_network_is_unchanged():
    dit = make_dit()
    expected = run(dit)
    set_execution(dit, KernelOptions.eager(), torch.device("cpu"))
    assert torch.equal(run(dit), expected)


@CPU
def test_an_old_gpu_is_reported_to_lack_float8(monkeypatch):
    from flashtalk_core.placement.memory_choice import check_choice
    from flashtalk_core.placement.memory_plan import MemoryChoice

    choice = MemoryChoice(float8=True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "RTX 3090")
    with pytest.raises(InvalidInputError, match=r"RTX 3090: it needs compute capability 8\.9"):
        check_choice(choice, torch.device("cuda"))
    with pytest.raises(InvalidInputError, match="float8 on mps: it runs on NVIDIA GPUs"):
        check_choice(choice, torch.device("mps"))


@CPU
def test_a_gpu_without_fp8_products_keeps_weights_in_fp8_and_multiplies_in_its_dtype(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "RTX 3090")
    linear = torch.nn.Linear(64, 48, dtype=torch.bfloat16)
    stored = FP8.convert(linear, torch.device("cuda"))
    multiplied = FP8.convert(linear, torch.device("cpu"))
    assert sum(each.nbytes for each in stored.buffers()) == 64 * 48 + 4 * 48
    x = torch.randn(5, 64, dtype=torch.bfloat16)
    expected = linear(x)
    # Rows stay as they are, so that it errs less than products of FP8 do.
    assert relative_rms(stored(x), expected) < 0.8 * relative_rms(multiplied(x), expected)
    assert relative_rms(stored(x), expected) < 0.04
    rows = format_of(stored).prepare_rows(x, x.dtype)
    assert torch.equal(multiply_rows(stored, rows, x.dtype), stored(x))


@CPU
@pytest.mark.parametrize(("name", "is_taken"), [("gfx1030", False), ("gfx1100", True)])
def test_amd_gpus_without_matrix_products_run_eagerly(monkeypatch, name, is_taken):
    monkeypatch.setattr(torch.version, "hip", "7.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (int(name[3:5]), 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Radeon")
    properties = SimpleNamespace(gcnArchName=name)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr(support, "_try_triton", lambda device: None)
    expected = KernelOptions() if is_taken else KernelOptions.eager()
    assert choose_kernel_options("auto", torch.device("cuda")) == expected
    if not is_taken:
        with pytest.raises(InvalidInputError, match=r"\(gfx1030\): AMD's GPUs before RDNA 3"):
            choose_kernel_options("fused", torch.device("cuda"))


@CPU
def test_without_triton_a_gpu_runs_eagerly_and_says_why(monkeypatch, caplog):
    real = importlib.util.find_spec
    hidden = {"triton": None}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: hidden[name] if name in hidden else real(name)
    )
    with pytest.raises(InvalidInputError, match="triton is not installed; run "):
        check_kernel_options(KernelOptions(), torch.device("cuda"))
    check_kernel_options(KernelOptions.eager(), torch.device("cuda"))
    found = choose_kernel_options("auto", torch.device("cuda"))
    assert found == KernelOptions.eager()
    assert "using eager execution" in caplog.text
    with pytest.raises(InvalidInputError, match="or use speed 'plain'"):
        choose_kernel_options("fused", torch.device("cuda"))


@CPU
def test_a_triton_that_cannot_be_imported_is_left_alone(monkeypatch, tmp_path, caplog):
    (tmp_path / "triton.py").write_text("raise ImportError('DLL load failed')\n")
    for name in list(sys.modules):
        if name.partition(".")[0] == "triton" or ".triton." in name:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "RTX 3060")
    assert choose_kernel_options("auto", torch.device("cuda")) == KernelOptions.eager()
    assert "kernels cannot be built (DLL load failed)" in caplog.text
    with pytest.raises(InvalidInputError, match="or use speed 'plain'"):
        choose_kernel_options("fused", torch.device("cuda"))


@CPU
def test_a_card_of_another_generation_that_has_no_fused_kernels_is_named(monkeypatch, caplog):
    first, other = torch.device("cuda:0"), torch.device("cuda:1")
    monkeypatch.setattr(support, "_try_triton", lambda device: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    generations = {first: (9, 0), other: (7, 5)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", generations.get)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "T4")
    assert choose_kernel_options("auto", first) == KernelOptions()
    with pytest.raises(InvalidInputError, match=r"execution on T4: it needs compute capability 8"):
        choose_kernel_options("fused", first, [other])
    assert choose_kernel_options("plain", first, [other]) == KernelOptions.eager()
    assert choose_kernel_options("auto", first, [other]) == KernelOptions.eager()
    assert "using eager execution" in caplog.text


@CPU
def test_fused_layers_without_channels_last_are_refused():
    with pytest.raises(InvalidInputError, match="they need channels_last"):
        KernelOptions(channels_last=False)


@CPU
def test_compiled_and_fused_blocks_exclude_each_other():
    with pytest.raises(InvalidInputError, match="they exclude each other"):
        KernelOptions(compiled_blocks=True)


@CPU
def test_unsupported_paths_are_refused_when_named_and_skipped_in_auto():
    cpu = torch.device("cpu")
    assert choose_kernel_options("auto", cpu) == KernelOptions.eager()
    assert (
        choose_kernel_options("eager", cpu)
        == choose_kernel_options("plain", cpu)
        == KernelOptions.eager()
    )
    assert choose_kernel_options("auto", torch.device("mps")) == KernelOptions.eager()
    with pytest.raises(InvalidInputError, match="execution on mps: it runs on NVIDIA and AMD GPUs"):
        choose_kernel_options("fused", torch.device("mps"))
    with pytest.raises(InvalidInputError, match="speed 'warp': use one of auto, plain"):
        choose_kernel_options("warp", cpu)


@GPU
@COMPILER_WARNS
@pytest.mark.parametrize("float8", [False, True])
@pytest.mark.parametrize("speed", ["fused", "compiled"])
@pytest.mark.usefixtures("no_fallback")
def test_fast_blocks_on_a_gpu_agree_with_plain_ones(speed, float8):
    plain, fast = make_dit("cuda", torch.bfloat16), make_dit("cuda", torch.bfloat16)
    device = torch.device("cuda")
    convert_blocks(fast, choose_format(float8=float8), device)
    set_execution(fast, choose_kernel_options(speed, device), device)
    assert relative_rms(run(fast), run(plain)) < (0.05 if float8 else 0.01)


@GPU
def test_the_float8_product_of_a_gpu_is_that_of_the_cpu():
    torch.manual_seed(0)
    linear = nn.Linear(64, 32).bfloat16()
    x = torch.randn(5, 64).bfloat16()
    with torch.no_grad():
        expected = Float8Linear(linear)(x)
        result = Float8Linear(linear.cuda())(x.cuda()).cpu()
    assert relative_rms(result, expected) < 0.01


@pytest.fixture
def no_fallback(caplog):
    """Fail if a kernel was given up: then eager execution is compared with itself."""
    yield
    said = [record.getMessage() for record in caplog.get_records("call")]
    assert not [line for line in said if "using the slower eager one" in line]


def random_vae(device, dtype):
    from flashtalk_core.config.networks import VAEConfig
    from flashtalk_core.models.vae.model import VideoVAE

    torch.manual_seed(0)
    return VideoVAE(VAEConfig(dim=32, num_res_blocks=1)).eval().to(device, dtype)


@GPU
@COMPILER_WARNS
@pytest.mark.usefixtures("no_fallback")
@torch.no_grad()
def test_the_fast_autoencoder_agrees_with_the_plain_one_on_a_gpu():
    plain, fast = (random_vae("cuda", torch.float32) for _ in range(2))
    set_execution(fast, KernelOptions(), torch.device("cuda"))
    latent = torch.randn(1, 16, 4, 6, 8, device="cuda")
    expected = torch.cat(list(plain.decode_groups(latent)), dim=2)
    result = torch.cat(list(fast.decode_groups(latent, 3)), dim=2)
    assert relative_rms(result, expected) < 1e-2


@pytest.mark.cpu
def test_a_build_without_scales_by_row_applies_them_afterwards(monkeypatch):
    """On a CPU: the choice and the arithmetic around PyTorch's product, which needs a GPU."""
    monkeypatch.setattr(fp8, "_product_error", lambda product, device: "not compiled in")
    monkeypatch.setattr(fp8, "multiplies_fp8", lambda device: True)
    layer = FP8.convert(torch.nn.Linear(32, 48), torch.device("cuda"))
    assert layer.product is fp8.product_by_tensor

    def multiply(rows, weight, *, out_dtype, **scales):
        return (rows.float() @ weight.float()).to(out_dtype)

    monkeypatch.setattr(torch, "_scaled_mm", multiply)
    rows, scale = quantise_rows(torch.randn(5, 32))
    found = layer.product(rows, layer.weight, scale, layer.weight_scale, layer.bias)
    assert relative_rms(found.float(), layer.multiply((rows, scale), torch.float32)) < 5e-3
