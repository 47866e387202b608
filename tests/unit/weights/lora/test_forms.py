"""LoHa, LoKr, and new values instead of differences: merged as by hand, or refused."""

import logging

import pytest
import torch
from safetensors.torch import save_file

from flashtalk_core.errors import WeightsError
from flashtalk_core.weights.lora.merge import LoraFile, plan_loras

pytestmark = pytest.mark.cpu

LAYER = "blocks.0.self_attn.q"
OUT, INTO, RANK, ALPHA, STRENGTH = 12, 8, 2, 3.0, 0.5
SHAPES = {
    f"{LAYER}.weight": (OUT, INTO),
    f"{LAYER}.bias": (OUT,),
    "blocks.0.norm3.weight": (INTO,),
    "blocks.0.norm3.bias": (INTO,),
    "blocks.0.modulation": (1, 6, INTO),
    "patch_embedding.weight": (OUT, 36, 1, 2, 2),
    "patch_embedding.bias": (OUT,),
}
PREFIXES = ("lora_unet_", "lycoris_", "diffusion_model.", "model.diffusion_model.", "model.", "")


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def weight_of(name):
    return draw(*SHAPES[name]) + 5


def merged(tmp_path, tensors, *names, strength=STRENGTH):
    """Return parameters after the merge of one file."""
    save_file(tensors, tmp_path / "a.safetensors")
    merge = plan_loras([LoraFile(tmp_path / "a.safetensors", strength)], SHAPES)
    return [merge.merge(name, weight_of(name), torch.float32) for name in names]


def refusal(tmp_path, tensors):
    with pytest.raises(WeightsError) as caught:
        merged(tmp_path, tensors)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def named(prefix, parts, layer=LAYER):
    layer = layer.replace(".", "_") if prefix.endswith("_") else layer
    return {f"{prefix}{layer}.{part}": value for part, value in parts.items()}


def loha():
    first, second = (draw(OUT, RANK), draw(RANK, INTO)), (draw(OUT, RANK) + 1, draw(RANK, INTO) + 1)
    parts = {"hada_w1_a": first[0], "hada_w1_b": first[1]}
    parts |= {"hada_w2_a": second[0], "hada_w2_b": second[1]}
    return parts, (first[0] @ first[1]) * (second[0] @ second[1])


def lokr(first_is_whole, second_is_whole):
    """Return parts of a LoKr of 3 x 4 and 4 x 2, and their Kronecker product block by block."""
    parts = {}
    first, second = draw(3, 4), draw(4, 2)
    if first_is_whole:
        parts["lokr_w1"] = first
    else:
        parts |= {"lokr_w1_a": draw(3, RANK), "lokr_w1_b": draw(RANK, 4)}
        first = parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if second_is_whole:
        parts["lokr_w2"] = second
    else:
        parts |= {"lokr_w2_a": draw(4, RANK), "lokr_w2_b": draw(RANK, 2)}
        second = parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    rows = [torch.cat([number * second for number in row], dim=1) for row in first]
    return parts, torch.cat(rows)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_a_loha_is_merged_as_by_hand(tmp_path, prefix, alpha):
    parts, change = loha()
    scale = STRENGTH
    if alpha is not None:
        parts["alpha"] = torch.tensor(alpha)
        scale *= alpha / RANK
    (found,) = merged(tmp_path, named(prefix, parts), f"{LAYER}.weight")
    torch.testing.assert_close(found, weight_of(f"{LAYER}.weight") + scale * change)


@pytest.mark.parametrize("wholes", [(True, False), (False, True), (False, False), (True, True)])
def test_a_lokr_is_merged_as_by_hand(tmp_path, wholes):
    """Two whole factors have no rank, and their alpha says nothing."""
    parts, change = lokr(*wholes)
    scale = STRENGTH * (1 if all(wholes) else ALPHA / RANK)
    parts["alpha"] = torch.tensor(ALPHA)
    (found,) = merged(tmp_path, named("lora_unet_", parts), f"{LAYER}.weight")
    torch.testing.assert_close(found, weight_of(f"{LAYER}.weight") + scale * change)


def test_a_lokr_of_a_convolution_has_its_kernel_on_the_second_factor(tmp_path):
    first, second = draw(3, 4), draw(4, 9, 1, 2, 2)
    parts = {"lokr_w1": first, "lokr_w2": second}
    name = "patch_embedding.weight"
    (found,) = merged(tmp_path, named("lycoris_", parts, "patch_embedding"), name)
    change = torch.einsum("ab,cdtyx->acbdtyx", first, second).reshape(SHAPES[name])
    torch.testing.assert_close(found, weight_of(name) + STRENGTH * change)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_new_values_take_the_place_of_a_weight_at_any_strength(tmp_path, strength):
    values = {f"{LAYER}.weight": draw(OUT, INTO), "blocks.0.norm3.bias": draw(INTO)}
    tensors = {
        f"diffusion_model.{LAYER}.set_weight": values[f"{LAYER}.weight"],
        "diffusion_model.blocks.0.norm3.bias.set_weight": values["blocks.0.norm3.bias"],
    }
    found = merged(tmp_path, tensors, *values, strength=strength)
    assert all(ours.equal(theirs) for ours, theirs in zip(found, values.values(), strict=True))


def test_a_file_after_new_values_is_added_to_them(tmp_path):
    value, parts = draw(OUT, INTO), {"lora_up.weight": draw(OUT, 1), "lora_down.weight": draw(1, 8)}
    save_file({f"{LAYER}.set_weight": value}, tmp_path / "a.safetensors")
    save_file(named("", parts), tmp_path / "b.safetensors")
    files = [LoraFile(tmp_path / name) for name in ("a.safetensors", "b.safetensors")]
    name = f"{LAYER}.weight"
    found = plan_loras(files, SHAPES).merge(name, weight_of(name), torch.float32)
    torch.testing.assert_close(found, value + parts["lora_up.weight"] @ parts["lora_down.weight"])


def test_differences_of_norms_and_of_parameters_by_name_are_added(tmp_path):
    tensors = {
        "lora_unet_blocks_0_norm3.w_norm": draw(INTO),
        "lora_unet_blocks_0_norm3.b_norm": draw(INTO) + 1,
        f"diffusion_model.{LAYER}.bias.diff": draw(OUT),
        "diffusion_model.blocks.0.modulation.diff": draw(1, 6, INTO),
    }
    names = ("blocks.0.norm3.weight", "blocks.0.norm3.bias", f"{LAYER}.bias", "blocks.0.modulation")
    found = merged(tmp_path, tensors, *names)
    for name, ours, change in zip(names, found, tensors.values(), strict=True):
        torch.testing.assert_close(ours, weight_of(name) + STRENGTH * change)


@pytest.mark.parametrize(
    "parts",
    [
        {"lora_down.weight": (2, 16, 1, 2, 2), "lora_up.weight": (OUT, 2, 1, 1, 1)},
        {"diff": (OUT, 16, 1, 2, 2)},
    ],
)
def test_of_a_file_for_text_to_video_the_patch_embedding_is_left_out(tmp_path, caplog, parts):
    """It is for 16 channels; ComfyUI leaves it out as well."""
    _, change = loha()
    tensors = named("diffusion_model.", loha()[0])
    tensors |= named("diffusion_model.", {key: draw(*at) for key, at in parts.items()},
                     "patch_embedding")  # fmt: skip
    tensors["diffusion_model.patch_embedding.diff_b"] = draw(OUT)
    names = ("patch_embedding.weight", "patch_embedding.bias", f"{LAYER}.weight")
    with caplog.at_level(logging.WARNING):
        weight, bias, other = merged(tmp_path, tensors, *names)
    assert weight.equal(weight_of(names[0]))
    torch.testing.assert_close(bias, weight_of(names[1]) + STRENGTH * draw(OUT))
    torch.testing.assert_close(other, weight_of(names[2]) + STRENGTH * change)
    (record,) = caplog.records
    assert "diffusion_model.patch_embedding." in record.getMessage()


def test_a_file_of_strength_0_is_checked_and_changes_nothing(tmp_path):
    (found,) = merged(
        tmp_path, {f"{LAYER}.set_weight": draw(OUT, INTO)}, f"{LAYER}.weight", strength=0.0
    )
    assert found.equal(weight_of(f"{LAYER}.weight"))
    with pytest.raises(WeightsError, match="of another size"):
        merged(tmp_path, {f"{LAYER}.set_weight": draw(OUT, OUT)}, strength=0.0)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"hada_w1_a": (OUT, 2), "hada_w1_b": (2, INTO)}, "has no counterpart"),
        (
            {"hada_w1_a": (OUT, 2), "hada_w1_b": (2, INTO), "hada_w2_a": (OUT, 2),
             "hada_w2_b": (2, OUT)},
            "a model of another size",
        ),
        (
            {"hada_w1_a": (2, OUT), "hada_w1_b": (2, INTO), "hada_w2_a": (2, OUT),
             "hada_w2_b": (2, INTO), "hada_t1": (2, 2, 1, 1), "hada_t2": (2, 2, 1, 1)},
            "is the middle factor",
        ),
        ({"lokr_w1": (3, 4)}, "has no counterpart"),
        ({"lokr_w1": (3, 4), "lokr_w2_a": (4, 2)}, "has no counterpart"),
        ({"lokr_w1": (3, 4), "lokr_w2": (5, 2)}, "a model of another size"),
        ({"lokr_w1": (3,), "lokr_w2": (4, 2)}, "a model of another size"),
        ({"lokr_w1": (3, 4), "lokr_w2_a": (4, 0), "lokr_w2_b": (0, 2)}, "a rank of at least 1"),
        ({"lokr_w1": (3, 4), "lokr_w2": (4, 2), "lora_up.weight": (OUT, 1),
          "lora_down.weight": (1, INTO)}, "are about the same weights"),
        ({"set_weight": (INTO, OUT)}, "a model of another size"),
    ],
)  # fmt: skip
def test_parts_that_do_not_go_together_are_refused(tmp_path, parts, says):
    tensors = named("lora_unet_", {part: torch.ones(size) for part, size in parts.items()})
    assert says in refusal(tmp_path, tensors)
