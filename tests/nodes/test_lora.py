"""LoRA nodes in a row: each adds its file, and the encoders stay those of the loader."""

import pytest
import torch
from safetensors.torch import save_file

pytestmark = pytest.mark.cpu

BIAS = "blocks.0.self_attn.q.bias"


@pytest.fixture
def folder(pack, tmp_path):
    path = tmp_path / "models" / "loras"
    path.mkdir(parents=True)
    return path


def write(folder, name, value):
    """Write a file that adds ``value`` to one bias."""
    save_file({f"diffusion_model.{BIAS}.diff": torch.full((176,), value)}, folder / name)


def bias_of(pack, model):
    kind = pack["flashtalk_core.models.transformer.model"].AvatarDiT
    found = model.checkpoint.load(kind, torch.device("cpu"), torch.float32)
    return found.get_parameter(BIAS)


def test_files_are_added_in_a_row_after_the_loaders(pack, model, folder):
    for name, value in (("a", 1.0), ("b", 10.0), ("c", 100.0)):
        write(folder, f"{name}.safetensors", value)
    loaded = pack.run("ModelLoader", lora="a.safetensors", lora_strength=0.5).args[0]
    second = pack.run("LoRA", model=loaded, lora="b.safetensors", strength=2.0).args[0]
    third = pack.run("LoRA", model=second, lora="c.safetensors").args[0]
    plain = bias_of(pack, model)
    for found, added in ((loaded, 0.5), (second, 20.5), (third, 120.5)):
        torch.testing.assert_close(bias_of(pack, found), plain + added)
    names = [(lora.path, lora.strength) for lora in third.spec.loras]
    assert names == [("a.safetensors", 0.5), ("b.safetensors", 2.0), ("c.safetensors", 1.0)]
    assert "LoRA a.safetensors x 0.5, b.safetensors x 2, c.safetensors x 1" in repr(third)


@pytest.mark.parametrize("given", [{"lora": "none"}, {"lora": "a.safetensors", "strength": 0.0}])
def test_none_and_strength_0_leave_the_model_as_it_is(pack, model, folder, given):
    write(folder, "a.safetensors", 1.0)
    assert pack.run("LoRA", model=model, **given).args[0] is model


def test_other_networks_are_those_of_the_loader(pack, used_model, folder, monkeypatch):
    """Only the transformer is read again."""
    write(folder, "a.safetensors", 1.0)
    found = pack.run("LoRA", model=used_model, lora="a.safetensors").args[0]
    read = []
    networks = pack["nodes.host.networks"]
    load = networks.load_network
    monkeypatch.setattr(
        networks, "load_network", lambda *args, **kw: read.append(args[2]) or load(*args, **kw)
    )
    path = pack.preview(pack.frames(found), "lora", keep_gb=0.0)
    assert [kind.__name__ for kind in read] == ["AvatarDiT"]
    plain = pack.preview(pack.frames(used_model), "plain", keep_gb=0.0)
    assert path.read_bytes() != plain.read_bytes()
    assert found.networks.largest is not None


def test_a_file_of_another_model_is_refused_at_its_input(pack, model, folder):
    save_file({"lora_te_1.lora_up.weight": torch.ones(1, 1)}, folder / "te.safetensors")
    message = pack.error("LoRA", model=model, lora="te.safetensors")
    assert message.startswith("FlashTalk LoRA, input 'lora': lora ")
    assert "none of its 1 tensors" in message
    assert "\n" not in message


def test_a_changed_file_makes_the_node_run_again(pack, folder):
    node = pack.nodes["FlashTalk_LoRA"]
    write(folder, "a.safetensors", 1.0)
    first = node.fingerprint_inputs(lora="a.safetensors", strength=1.0)
    save_file({f"{BIAS}.diff": torch.ones(176), "other": torch.ones(3)}, folder / "a.safetensors")
    assert node.fingerprint_inputs(lora="a.safetensors", strength=1.0) != first
    assert "no such file" in node.fingerprint_inputs(lora="b.safetensors", strength=1.0)
    assert node.fingerprint_inputs(lora="none", strength=1.0) == "none"
