"""LoRA files in every usual layout: merged as by hand, or refused with a reason."""

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.errors import FlashTalkError, InvalidInputError, WeightsError
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.offload.blocks import BlockOffload
from flashtalk_core.quantization.blocks import BlockConverter
from flashtalk_core.quantization.fp8 import FP8, Float8Linear, quantise_rows
from flashtalk_core.weights.discovery.layout import find_model_files, resolve_model
from flashtalk_core.weights.formats.tensor_file import open_tensor_file
from flashtalk_core.weights.load import open_checkpoint
from flashtalk_core.weights.lora.merge import LoraFile, plan_loras
from flashtalk_core.weights.mapping.key_maps import DIT_KEYS
from flashtalk_core.weights.plan import LoadPlan, load_module, plan_component

pytestmark = pytest.mark.cpu

CPU = torch.device("cpu")
CONFIG = DiTConfig(
    dim=32, ffn_dim=48, freq_dim=16, text_dim=20, text_len=9, num_heads=2, num_layers=2,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=16,
    audio_context_tokens=4, clip_dim=12, clip_tokens=5,
)  # fmt: skip
RANK, ALPHA = 3, 1.5

# Layers as we, as kohya's scripts and as the diffusers library name them.
LAYERS = {
    "blocks.0.self_attn.q": "blocks.0.attn1.to_q",
    "blocks.1.self_attn.o": "blocks.1.attn1.to_out.0",
    "blocks.0.cross_attn.k_img": "blocks.0.attn2.add_k_proj",
    "blocks.1.cross_attn.v": "blocks.1.attn2.to_v",
    "blocks.1.ffn.0": "blocks.1.ffn.net.0.proj",
    "blocks.0.ffn.2": "blocks.0.ffn.net.2",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "head.head": "proj_out",
}
LAYOUTS = {
    "kohya": (
        lambda ours, _: "lora_unet_" + ours.replace(".", "_"),
        ("lora_down.weight", "lora_up.weight"),
    ),
    "kohya of diffusers": (
        lambda _, theirs: "lora_unet_" + theirs.replace(".", "_"),
        ("lora_down.weight", "lora_up.weight"),
    ),
    "diffusers": (
        lambda _, theirs: f"transformer.{theirs}",
        ("lora_A.weight", "lora_B.weight"),
    ),
    "peft": (
        lambda ours, _: f"base_model.model.{ours}",
        ("lora_A.default.weight", "lora_B.default.weight"),
    ),
    "comfyui": (
        lambda ours, _: f"diffusion_model.{ours}",
        ("lora_A.weight", "lora_B.weight"),
    ),
    "comfyui, down and up": (
        lambda ours, _: f"diffusion_model.{ours}",
        ("lora_down.weight", "lora_up.weight"),
    ),
}


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return AvatarDiT(CONFIG).requires_grad_(False).state_dict()


@pytest.fixture(scope="module")
def factors(weights):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    shapes = {name: weights[f"{name}.weight"].shape for name in LAYERS}
    return {name: (draw(RANK, shape[1]), draw(shape[0], RANK)) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def checkpoint(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("dit") / "dit.safetensors"
    save_file(weights, path)
    return path


def write_lora(path, factors, layout="comfyui", alpha=ALPHA, others=None):
    rename, (down_name, up_name) = LAYOUTS[layout]
    tensors = {}
    for ours, (down, up) in factors.items():
        name = rename(ours, LAYERS[ours])
        tensors |= {f"{name}.{down_name}": down.clone(), f"{name}.{up_name}": up.clone()}
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    save_file(tensors | (others or {}), path)
    return path


def load(checkpoint, loras, dtype=torch.float32, hooks=()):
    plan = plan_component(lambda: AvatarDiT(CONFIG), [open_tensor_file(checkpoint)], DIT_KEYS)
    shapes = {name: tuple(p.shape) for name, p in plan.build().named_parameters()}
    plan = LoadPlan(plan.build, plan.sources, plan_loras(loras, shapes))
    return load_module(plan, CPU, dtype, hooks=hooks)


def merged_by_hand(weights, factors, scale):
    merged = {name: value.float() for name, value in weights.items()}
    for name, (down, up) in factors.items():
        merged[f"{name}.weight"] = merged[f"{name}.weight"] + scale * (up @ down)
    return merged


def assert_weights(dit, expected, dtype=torch.float32):
    for name, value in dit.state_dict().items():
        torch.testing.assert_close(value, expected[name].to(dtype), msg=name, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_every_layout_is_merged_as_by_hand(
    layout, alpha, checkpoint, weights, factors, tmp_path, caplog
):
    path = write_lora(tmp_path / "a.safetensors", factors, layout, alpha)
    scale = 0.5 * (1.0 if alpha is None else alpha / RANK)
    dit = load(checkpoint, [LoraFile(path, 0.5)])
    assert_weights(dit, merged_by_hand(weights, factors, scale))
    assert not caplog.records


def test_sums_are_rounded_once_to_bfloat16(checkpoint, weights, factors, tmp_path):
    path = write_lora(tmp_path / "a.safetensors", factors)
    expected = merged_by_hand(weights, factors, ALPHA / RANK)
    dit = load(checkpoint, [LoraFile(path)], torch.bfloat16)
    for name, value in dit.state_dict().items():
        assert torch.equal(value, expected[name].bfloat16()), name


def test_blocks_in_8_bit_floats_are_quantised_after_the_merge(
    checkpoint, weights, factors, tmp_path
):
    path = write_lora(tmp_path / "a.safetensors", factors)
    expected = merged_by_hand(weights, factors, ALPHA / RANK)
    dit = load(checkpoint, [LoraFile(path)], hooks=[BlockConverter(FP8, CPU), BlockOffload(CPU, 1)])
    for name in ("blocks.0.self_attn.q", "blocks.1.ffn.0"):
        layer = dit.get_submodule(name)
        assert isinstance(layer, Float8Linear)
        weight, scale = quantise_rows(expected[f"{name}.weight"])
        assert torch.equal(layer.weight.float(), weight.float())
        assert torch.equal(layer.weight_scale, scale)


def test_weights_stored_in_8_bit_floats_are_widened_before_the_merge(weights, factors, tmp_path):
    stored, scale = quantise_rows(weights["blocks.0.self_attn.q.weight"])
    names = {"blocks.0.self_attn.q.weight": stored, "blocks.0.self_attn.q.scale_weight": scale}
    save_file(weights | names, tmp_path / "dit.safetensors")
    path = write_lora(tmp_path / "a.safetensors", factors)
    dit = load(tmp_path / "dit.safetensors", [LoraFile(path)])
    widened = weights | {"blocks.0.self_attn.q.weight": stored.float() * scale}
    assert_weights(dit, merged_by_hand(widened, factors, ALPHA / RANK))


def test_several_files_add_up(checkpoint, weights, factors, tmp_path):
    names = list(LAYERS)
    first = {name: factors[name] for name in names[:5]}
    second = {name: factors[name] for name in names[3:]}
    loras = [
        LoraFile(write_lora(tmp_path / "a.safetensors", first, alpha=None), 0.75),
        LoraFile(write_lora(tmp_path / "b.safetensors", second, "kohya", None), -0.25),
    ]
    expected = merged_by_hand(merged_by_hand(weights, first, 0.75), second, -0.25)
    assert_weights(load(checkpoint, loras), expected)


def test_differences_of_weights_biases_and_modulation_are_added(checkpoint, weights, tmp_path):
    changes = {
        "diffusion_model.blocks.0.norm3.diff": ("blocks.0.norm3.weight", torch.ones(32)),
        "diffusion_model.blocks.1.ffn.0.diff_b": ("blocks.1.ffn.0.bias", torch.ones(48)),
        "diffusion_model.blocks.1.diff_m": ("blocks.1.modulation", torch.ones(1, 6, 32)),
        "diffusion_model.patch_embedding.diff": (
            "patch_embedding.weight",
            torch.ones(32, 36, 1, 2, 2),
        ),
    }
    save_file({key: value for key, (_, value) in changes.items()}, tmp_path / "a.safetensors")
    expected = dict(weights)
    for name, value in changes.values():
        expected[name] = weights[name] + 0.5 * value
    assert_weights(load(checkpoint, [LoraFile(tmp_path / "a.safetensors", 0.5)]), expected)


def test_a_difference_next_to_factors_is_added_too(checkpoint, weights, tmp_path):
    down, up, difference = torch.randn(2, 32), torch.randn(32, 2), torch.randn(32, 32)
    name = "lora_unet_blocks_0_self_attn_q"
    tensors = {"lora.down.weight": down, "lora.up.weight": up, "diff": difference}
    path = tmp_path / "a.safetensors"
    save_file({f"{name}.{key}": value for key, value in tensors.items()}, path)
    parameter = "blocks.0.self_attn.q.weight"
    expected = weights | {parameter: weights[parameter] + difference + up @ down}
    found = load(checkpoint, [LoraFile(path)]).state_dict()
    torch.testing.assert_close(found[parameter], expected[parameter])


def test_factors_of_a_convolution_are_merged(checkpoint, weights, tmp_path):
    down, up = torch.randn(2, 36, 1, 2, 2), torch.randn(32, 2, 1, 1, 1)
    name = "diffusion_model.patch_embedding"
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    save_file(tensors, tmp_path / "a.safetensors")
    product = torch.einsum("or,rcthw->octhw", up.flatten(1), down)
    expected = weights | {"patch_embedding.weight": weights["patch_embedding.weight"] + product}
    dit = load(checkpoint, [LoraFile(tmp_path / "a.safetensors")])
    torch.testing.assert_close(dit.state_dict()["patch_embedding.weight"],
                               expected["patch_embedding.weight"])  # fmt: skip


def test_what_is_not_known_is_listed(checkpoint, factors, tmp_path, caplog):
    others = {"lora_te_layers_0.lora_up.weight": torch.ones(2, 2), "blocks.9.diff": torch.ones(2)}
    path = write_lora(tmp_path / "a.safetensors", factors, others=others)
    with caplog.at_level(logging.WARNING):
        load(checkpoint, [LoraFile(path)])
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("lora a.safetensors: 2 of 26 tensors belong to no layer")
    assert all(name in message for name in others)


def test_a_long_list_of_what_is_not_known_is_whole(checkpoint, factors, tmp_path, caplog):
    others = {f"lora_te_layers_{n}.lora_up.weight": torch.ones(2, 2) for n in range(30)}
    path = write_lora(tmp_path / "a.safetensors", factors, others=others)
    with caplog.at_level(logging.INFO):
        load(checkpoint, [LoraFile(path)])
    short, whole = (record.getMessage() for record in caplog.records)
    assert short.startswith("lora a.safetensors: 30 of 54 tensors")
    assert short.endswith(", ...")
    assert all(name in whole for name in others)


def in_fp8(path, factors, suffix, by_row):
    """Write LoRA factors in FP8 with scales, and return what these numbers are."""
    tensors, numbers = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}, {}
    for name, pair in factors.items():
        read = []
        for part, value in zip(("lora_down", "lora_up"), pair, strict=True):
            scale = (value.abs().amax(1, keepdim=True) if by_row else value.abs().max()) / 448
            stored = (value / scale).to(torch.float8_e4m3fn)
            key = f"diffusion_model.{name}.{part}"
            tensors |= {f"{key}.weight": stored, f"{key}.{suffix}": scale}
            tensors[f"{key}.scale_input"] = torch.ones(())
            read.append(stored.float() * scale)
        numbers[name] = tuple(read)
    save_file(tensors, path)
    return numbers


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("suffix", ["scale_weight", "weight_scale"])
def test_factors_in_fp8_are_multiplied_by_their_scales(
    checkpoint, weights, factors, tmp_path, caplog, suffix, by_row
):
    numbers = in_fp8(tmp_path / "a.safetensors", factors, suffix, by_row)
    dit = load(checkpoint, [LoraFile(tmp_path / "a.safetensors")])
    assert_weights(dit, merged_by_hand(weights, numbers, 1.0))
    assert caplog.records == []


FP8_PAIR = {
    "lora_down.weight": torch.ones(3, 32).to(torch.float8_e4m3fn),
    "lora_up.weight": torch.ones(32, 3).to(torch.float8_e4m3fn),
}
DESCRIBED = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"lora_up.scale_weight": torch.ones(5)}, "lora_up.scale_weight is no scale that is known"),
        ({"lora_up.weight_scale": torch.ones(1).byte()}, "lora_up.weight_scale is no scale"),
        ({"lora_up.comfy_quant": DESCRIBED}, "lora_up.weight has lost the scale of its FP8"),
        ({"diff": torch.ones(32, 32), "scale_weight": torch.ones(1)}, "q.scale_weight is no scale"),
        (
            {"diff": torch.ones(32, 32), "diff.scale_weight": torch.ones(1)},
            "q.diff.scale_weight is no scale",
        ),
    ],
)
def test_scales_that_are_not_applied_are_refused(checkpoint, tmp_path, more, says):
    name = "diffusion_model.blocks.0.self_attn.q"
    tensors = {f"{name}.{key}": value for key, value in (FP8_PAIR | more).items()}
    message = refused(checkpoint, tmp_path, tensors)
    assert says in message
    assert message.endswith("; take the bf16, fp16 or fp32 version of this file")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("alpha", torch.ones(2), "is to be one number"),
        ("lora_A.weight", torch.ones(3, 32, dtype=torch.int8), "in a quantised form"),
    ],
)
def test_numbers_of_another_kind_are_refused(checkpoint, tmp_path, key, value, says):
    name = "diffusion_model.blocks.0.self_attn.q"
    pair = {"lora_A.weight": torch.ones(3, 32), "lora_B.weight": torch.ones(32, 3)}
    tensors = {f"{name}.{part}": each for part, each in (pair | {key: value}).items()}
    assert says in refused(checkpoint, tmp_path, tensors)


@pytest.mark.parametrize("alpha", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number_is_refused(checkpoint, factors, tmp_path, alpha):
    path = write_lora(tmp_path / "a.safetensors", factors, alpha=alpha)
    with pytest.raises(WeightsError, match="need a finite number; download it again"):
        load(checkpoint, [LoraFile(path)])


def test_names_of_any_length_and_kind_are_shown_in_short(checkpoint, tmp_path):
    name = "\x1b]0;TITLE\x07" + "a" * 100_000 + ".lora_up.weight"
    message = refused(checkpoint, tmp_path, {name: torch.ones(1)})
    assert message.isprintable()
    assert len(message) < 600


def refused(checkpoint, tmp_path, tensors):
    save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(WeightsError) as caught:
        load(checkpoint, [LoraFile(tmp_path / "bad.safetensors")])
    message = str(caught.value)
    assert message.startswith(f"lora {tmp_path / 'bad.safetensors'}: ")
    assert "\n" not in message
    return message


def test_a_file_of_another_model_is_refused(checkpoint, tmp_path):
    message = refused(checkpoint, tmp_path, {"lora_unet_mid_block_1.alpha": torch.ones(())})
    assert "none of its 1 tensors (lora_unet_mid_block_1.alpha) belongs" in message
    assert "Wan 2.1 14B" in message


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"lora_A.weight": (3, 32), "lora_B.weight": (40, 3)}, "a model of another size"),
        ({"lora_A.weight": (3, 32), "lora_B.weight": (32, 4)}, "a model of another size"),
        ({"lora_A.weight": (32,), "lora_B.weight": (32,)}, "a model of another size"),
        ({"lora_A.weight": (3, 32), "lora_B.weight": (32, 3, 2)}, "a model of another size"),
        ({"lora_A.weight": (3, 32), "lora_B.weight": ()}, "a model of another size"),
        ({"lora_A.weight": (), "lora_B.weight": (32, 3)}, "a model of another size"),
        ({"lora_A.weight": (0, 32), "lora_B.weight": (32, 0)}, "need a rank of at least 1"),
        ({"lora_A.weight": (0, 32), "lora_B.weight": (32, 0), "alpha": ()}, "a rank of at least 1"),
        ({"diff": (3, 3)}, "a model of another size"),
        ({"diff": (16, 64)}, "a model of another size"),
        (
            {"lora_A.weight": (3, 32), "lora_down.weight": (3, 32), "lora_B.weight": (32, 3)},
            "are about the same weights; remove one of them",
        ),
        (
            {"lora_down.weight": (3, 32), "lora_up.weight": (32, 3), "lora_mid.weight": (3, 3)},
            "is the middle factor of a LoCon",
        ),
        ({"lora_A.weight": (3, 32)}, "has no counterpart; the file is incomplete"),
        (
            {"lora_A.weight": (3, 32), "lora_B.weight": (32, 3), "dora_scale": (32, 1)},
            "a DoRA",
        ),
        ({"oft_blocks": (4, 8, 8)}, "an OFT"),
        ({"a1.weight": (3, 32), "a2.weight": (32, 3)}, "a GLoRA"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(checkpoint, tmp_path, tensors, says):
    name = "diffusion_model.blocks.0.self_attn.q"
    assert says in refused(
        checkpoint, tmp_path, {f"{name}.{key}": torch.ones(size) for key, size in tensors.items()}
    )


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(InvalidInputError, match=r"^lora gone\.safetensors: no such file"):
        LoraFile(Path("gone.safetensors"), 0.5)


@pytest.mark.parametrize("strength", ["nan", "inf", "11", "-10.5"])
def test_a_strength_out_of_range_is_refused(tmp_path, strength):
    (tmp_path / "a").touch()
    with pytest.raises(FlashTalkError, match=r"^lora strength .*: use -10 to 10"):
        LoraFile(tmp_path / "a", float(strength))


def test_another_lora_strength_changes_the_identity(tmp_path):
    (tmp_path / "a").touch()
    assert LoraFile(tmp_path / "a", 1.0).identity != LoraFile(tmp_path / "a", 0.5).identity


def test_a_checkpoint_is_opened_with_its_loras(tmp_path):
    files = find_model_files(resolve_model("tiny"))
    name = "blocks.1.ffn.0"
    plain = open_checkpoint(files).load(AvatarDiT, CPU, torch.float32).state_dict()
    out, width = plain[f"{name}.weight"].shape
    pair = {name: (torch.ones(2, width), torch.ones(out, 2))}
    lora = LoraFile(write_lora(tmp_path / "a.safetensors", pair, alpha=None), 0.5)
    checkpoint = open_checkpoint(files, loras=[lora])
    merged = checkpoint.load(AvatarDiT, CPU, torch.float32).state_dict()
    changed = [key for key, value in merged.items() if not torch.equal(value, plain[key])]
    assert changed == [f"{name}.weight"]
    torch.testing.assert_close(merged[changed[0]], plain[changed[0]] + 1)
    assert checkpoint.loras == (lora,)
