"""A transformer in another format: what is written loads, and is what was to be written."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from flashtalk_core.cli.main import main
from flashtalk_core.errors import OutputError, WeightsError
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.quantization.packed.linear import PackedLinear
from flashtalk_core.weights.conversion import convert as conversion
from flashtalk_core.weights.conversion.convert import Conversion, convert
from flashtalk_core.weights.conversion.targets import AUDIO, substitutes, target_tensor
from flashtalk_core.weights.discovery.layout import resolve_model
from flashtalk_core.weights.formats.tensor_file import open_tensor_file
from flashtalk_core.weights.lora.merge import LoraFile, plan_loras
from flashtalk_core.weights.mapping.key_maps import DIT_KEYS
from flashtalk_core.weights.plan import load_module, plan_component
from tests.unit.weights.test_packed import CONFIG, CPU, error, load, plan_of, run, weights

pytestmark = pytest.mark.cpu

__all__ = ["weights"]


@pytest.fixture(scope="module")
def dense(weights, tmp_path_factory):
    """In bfloat16, with norms and modulations in float32, as published files are."""
    path = tmp_path_factory.mktemp("dense") / "dense.safetensors"
    tensors = {
        name: value.bfloat16() if value.dim() > 1 else value for name, value in weights.items()
    }
    save_file(tensors, path)
    return path


def is_layer(name, value):
    return name.startswith("blocks.") and value.dim() == 2 and value.shape[1] % 256 == 0


def names_of(path):
    return set(open_tensor_file(path).infos)


@pytest.mark.parametrize(
    ("form", "name", "limit", "size"),
    [("bf16", "a.safetensors", 0, 2), ("fp8", "a.safetensors", 0.08, 1),
     ("q8_0", "a.gguf", 0.015, 34 / 32), ("q4_k", "a.gguf", 0.16, 144 / 256)],
)  # fmt: skip
def test_a_converted_transformer_computes_nearly_the_same(
    dense, weights, tmp_path, form, name, limit, size
):
    calls = []
    (part,) = convert(
        plan_of(dense), Conversion(form, tmp_path / name), CPU, lambda *call: calls.append(call)
    )
    assert part.num_tensors == len(weights)
    found, expected = run(load(tmp_path / name)), run(load(dense))
    assert error(found, expected) <= limit
    assert (error(found, expected) > 0) == (form != "bf16")
    num_bytes = (tmp_path / name).stat().st_size
    assert part.num_bytes == num_bytes
    layers = sum(v.numel() for name, v in weights.items() if is_layer(name, v))
    others = sum(v.numel() for v in weights.values()) - layers
    more = num_bytes - size * layers - 2 * others
    assert 0 < more < 130_000  # header, norms in float32, rows of less than a block in Q8_0
    assert calls[0] == ("writing", 1, len(weights))
    assert calls[-1][0] == "checking"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if form != "bf16":
        assert isinstance(load(tmp_path / name, packed=True).blocks[0].ffn[0], PackedLinear)
        assert all(0 < mean <= most < 0.12 for _, mean, most in part.errors.values())
        assert sum(count for count, _, _ in part.errors.values()) == CONFIG.num_layers * 15


def test_audio_layers_go_to_a_file_of_their_own(dense, weights, tmp_path):
    """Names are those that ComfyUI's UNETLoader and ModelPatchLoader want, and no others."""
    base, audio = tmp_path / "base.gguf", tmp_path / "audio.safetensors"
    parts = convert(plan_of(dense), Conversion("q8_0", base, audio), CPU)
    assert names_of(base) | names_of(audio) == set(weights)
    assert {re.sub(r"\d+", "N", name) for name in names_of(audio)} == {
        "audio_proj.norm.bias", "audio_proj.norm.weight",
        *(f"audio_proj.{name}.{leaf}"
          for name in ("projN", "projN_vf") for leaf in ("weight", "bias")),
        *(f"blocks.N.audio_cross_attn.{name}.{leaf}"
          for name in ("q_linear", "kv_linear", "proj") for leaf in ("weight", "bias")),
        "blocks.N.norm_x.weight", "blocks.N.norm_x.bias",
    }  # fmt: skip
    assert not any(info.form for info in open_tensor_file(audio).infos.values())
    files = [open_tensor_file(path) for path in (base, audio)]
    plan = plan_component(lambda: AvatarDiT(CONFIG), files, DIT_KEYS)
    found = run(load_module(plan, CPU, torch.float32))
    assert error(found, run(load(dense))) < 0.015
    assert [part.path for part in parts] == [base, audio]


def test_fp8_is_described_as_comfyui_wants_it(dense, tmp_path):
    convert(plan_of(dense), Conversion("fp8", tmp_path / "a.safetensors"), CPU)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        names = set(file.keys())
        layer = "blocks.0.ffn.0"
        assert file.get_tensor(f"{layer}.weight").dtype == torch.float8_e4m3fn
        assert file.get_tensor(f"{layer}.weight_scale").shape == ()
        config = json.loads(file.get_tensor(f"{layer}.comfy_quant").numpy().tobytes())
    assert config == {"format": "float8_e4m3fn", "full_precision_matrix_mult": True}
    assert not any("audio_proj" in name for name in names if name.endswith("comfy_quant"))


def test_packed_files_are_converted_too(dense, tmp_path):
    convert(plan_of(dense), Conversion("q8_0", tmp_path / "a.gguf"), CPU)
    convert(plan_of(tmp_path / "a.gguf"), Conversion("bf16", tmp_path / "b.safetensors"), CPU)
    one, other = (load(tmp_path / name, torch.bfloat16) for name in ("a.gguf", "b.safetensors"))
    assert torch.equal(run(one), run(other))


def test_loras_are_merged_before(dense, weights, tmp_path):
    save_file({"blocks.0.ffn.0.diff": torch.ones(512, 256)}, tmp_path / "lora.safetensors")
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    merge = plan_loras([LoraFile(tmp_path / "lora.safetensors", 0.5)], shapes)
    plan = replace(plan_of(dense), merge=merge)
    convert(plan, Conversion("bf16", tmp_path / "a.safetensors"), CPU)
    layers = [load(path).blocks[0].ffn[0].weight for path in (tmp_path / "a.safetensors", dense)]
    assert torch.equal(layers[0], (layers[1] + 0.5).bfloat16().float())


def test_what_the_disk_gives_back_otherwise_is_not_put_into_place(dense, tmp_path, monkeypatch):
    path = tmp_path / "a.gguf"
    path.write_bytes(b"older")
    write_file = conversion.write_file

    def write_and_damage(aside, *given):
        record = write_file(aside, *given)
        content = bytearray(aside.read_bytes())
        content[-100] ^= 1
        aside.write_bytes(content)
        return record

    monkeypatch.setattr(conversion, "write_file", write_and_damage)
    with pytest.raises(WeightsError, match="is not what was written; check the disk"):
        convert(plan_of(dense), Conversion("q8_0", path), CPU)
    assert path.read_bytes() == b"older"
    assert [each.name for each in tmp_path.iterdir()] == ["a.gguf"]


def test_weights_that_rounding_would_spoil_are_refused(weights, tmp_path):
    name = "blocks.1.self_attn.q.weight"
    changed = weights[name].clone()
    changed[0, 0] = torch.nan
    save_file(weights | {name: changed}, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match=rf"tensor {name} loses nan % of itself in Q8_0"):
        convert(plan_of(tmp_path / "nan.safetensors"), Conversion("q8_0", tmp_path / "a.gguf"), CPU)
    assert not (tmp_path / "a.gguf").exists()


def test_a_disk_without_room_is_reported_before_anything_is_read(dense, tmp_path, monkeypatch):
    usage = conversion.shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"needs .* MB, the disk has .* free; make room"):
        convert(plan_of(dense), Conversion("bf16", tmp_path / "a.safetensors"), CPU, pytest.fail)


def test_the_command_prints_what_was_written(tmp_path, capsys):
    path = tmp_path / "tiny.gguf"
    assert main(["convert", "--model", "tiny", "--to", "q8_0", "-o", str(path)]) == 0
    shown = capsys.readouterr()
    assert re.fullmatch(
        rf"wrote {path}, 273 tensors, 7\.3 MB, read back; 12 matrices in Q8_0, "
        r"which lost 0\.5\d % \(at most 0\.5\d %\); rows of 176 do not divide by 32, so BF16\n",
        shown.out,
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--to", "q8_0", "-o", "a.safetensors"], "q8_0 is written to a name with .gguf"),
        (["--to", "fp8", "-o", "a.gguf"], "fp8 is written to a name with .safetensors"),
        (
            ["--to", "bf16", "-o", "a.safetensors", "--audio-layers", "a.safetensors"],
            "named twice; use two files",
        ),
        (["--to", "bf16", "-o", "no/a.safetensors"], "no place for a file"),
        (["--to", "int3", "-o", "a.safetensors"], "invalid choice"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, monkeypatch, capsys, options, says):
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "--model", "tiny", *options]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_read_are_never_replaced(copied_folder, capsys):
    path = copied_folder / "FlashTalk.safetensors"
    assert main(["convert", "--model", str(copied_folder), "--to", "bf16", "-o", str(path)]) == 0
    again = ["convert", "--model", str(copied_folder), "--to", "fp8", "-o", str(path)]
    assert main(again) == 2
    assert "is read for it; write to another name" in capsys.readouterr().err


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """The bundled transformer alone: whole, and its base and audio layers apart."""
    folder = tmp_path_factory.mktemp("lone")
    tensors = load_file(resolve_model("tiny") / "diffusion_pytorch_model.safetensors")
    layers = {name: value for name, value in tensors.items() if AUDIO.fullmatch(name)}
    base = {name: value for name, value in tensors.items() if name not in layers}
    prefixed = {f"model.diffusion_model.{name}": value for name, value in tensors.items()}
    names = ("whole", "base", "layers")
    for name, values in zip(names, (prefixed, base, layers), strict=True):
        save_file(values, folder / f"{name}.safetensors")
    settings = json.loads((resolve_model("tiny") / "flashtalk.json").read_text())
    # Heads of another width than 128 are told by no shape.
    (folder / "config.json").write_text(json.dumps({"num_heads": settings["dit"]["num_heads"]}))
    return folder


@pytest.fixture(scope="module")
def from_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("folder") / "tiny.safetensors"
    assert main(["convert", "--model", "tiny", "--to", "bf16", "-o", str(path)]) == 0
    return path.read_bytes()


@pytest.mark.parametrize("names", [("whole",), ("base", "layers")])
def test_a_transformer_alone_is_converted_as_in_its_folder(
    lone, from_folder, tmp_path, capsys, names
):
    files = [str(lone / f"{name}.safetensors") for name in names]
    found = tmp_path / "found.safetensors"
    assert main(["convert", "--model", *files, "--to", "bf16", "-o", str(found)]) == 0
    assert found.read_bytes() == from_folder
    again = ["convert", "--model", *files, "--to", "bf16", "-o", str(found)]
    assert main(again) == 2
    assert f"{found}: is there already; write to another name, or over it with --again" in (
        capsys.readouterr().err
    )
    found.write_bytes(b"older")
    assert main([*again, "--again"]) == 0
    assert found.read_bytes() == from_folder
    assert main(["convert", "--model", *files, "--to", "bf16", "-o", files[0]]) == 2
    assert "is read for it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("base",), "transformer without audio layers"),
        (("layers",), "audio layers without the transformer"),
        (("base", "gone"), "gone.safetensors: no such file"),
        (("gone",), "model '.*gone.safetensors': no such file or folder; use 'tiny', a"),
        (("whole", "layers"), "is in .* too; audio layers of a file"),
    ],
)
def test_files_that_are_no_transformer_are_refused(lone, tmp_path, capsys, names, says):
    files = [str(lone / f"{name}.safetensors") for name in names]
    assert main(["convert", "--model", *files, "--to", "q8_0", "-o", str(tmp_path / "a.gguf")]) == 2
    assert re.search(says, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def infinite_talk(lone, tmp_path):
    """The two files of an InfiniteTalk, the second by its name."""
    shutil.copy(lone / "base.safetensors", tmp_path / "base.safetensors")
    shutil.copy(lone / "layers.safetensors", tmp_path / "InfiniteTalk.safetensors")
    shutil.copy(lone / "config.json", tmp_path)
    return [str(tmp_path / name) for name in ("base.safetensors", "InfiniteTalk.safetensors")]


@pytest.mark.parametrize(
    ("outputs", "name"),
    [
        (["wan-talk-q8.gguf"], "wan-talk-q8-infinitetalk.gguf"),
        (["base-q8.gguf", "--audio-layers", "audio.safetensors"], "audio-infinitetalk.safetensors"),
    ],
)
def test_infinitetalk_is_not_written_under_a_name_that_makes_flashtalk_of_it(
    infinite_talk, tmp_path, monkeypatch, capsys, outputs, name
):
    monkeypatch.chdir(tmp_path)
    command = ["convert", "--model", *infinite_talk, "--to", "q8_0", "-o"]
    assert main([*command, *outputs]) == 2
    message = capsys.readouterr().err
    assert f"{outputs[-1]}: InfiniteTalk.safetensors is InfiniteTalk's" in message
    assert message.endswith(f"call it {name}\n")
    assert not (tmp_path / outputs[0]).exists()
    assert main([*command, *outputs[:-1], name]) == 0
    assert (tmp_path / name).exists()


def test_a_file_that_needs_settings_beside_it_says_so_before_and_when_it_is_read(tmp_path, capsys):
    path = tmp_path / "t8.gguf"
    assert main(["convert", "--model", "tiny", "--to", "q8_0", "-o", str(path)]) == 0
    assert f"{path}: no shape tells how many heads" in capsys.readouterr().err
    once_more = ["convert", "--model", str(path), "--to", "q4_k", "-o", str(tmp_path / "t4.gguf")]
    assert main(once_more) == 2
    assert "put its model's flashtalk.json beside it" in capsys.readouterr().err
    shutil.copy(resolve_model("tiny") / "flashtalk.json", tmp_path)
    assert main(once_more) == 0
    shown = capsys.readouterr()
    assert "rows of 176 do not divide by 32, so BF16" in shown.out
    assert "heads" not in shown.err


def test_matrices_of_another_format_than_was_asked_for_say_why():
    def note(form, *shape):
        target = target_tensor("blocks.0.ffn.0.weight", shape, torch.bfloat16, form)
        return substitutes([target], form)

    assert note("q4_k", 64, 256) == note("q8_0", 64, 96) == note("fp8", 64, 70) == ()
    assert note("q4_k", 64, 96) == ("rows of 96 do not divide by 256, so Q8_0",)
    assert note("q4_k", 64, 70) == ("rows of 70 do not divide by 32, so BF16",)
    assert note("q8_0", 64, 70) == ("rows of 70 do not divide by 32, so BF16",)
