"""Model Loader: menus, parts of a model in ComfyUI's folders, and what is missing."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.cpu


def refused(text):
    return f"FlashTalk Model Loader, input {text}"


@pytest.fixture
def models(tmp_path):
    """ComfyUI's folder of models."""
    for name in ("diffusion_models", "vae", "text_encoders", "clip_vision", "audio_encoders"):
        (tmp_path / "models" / name).mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
def tiny_files(pack):
    models = pack["nodes.host.model_files"]
    return models.find_model_files(models.resolve_model("tiny"))


@pytest.fixture
def installed(models, tiny_files):
    """The tiny model under the names and in the folders that ComfyUI's users have."""
    places = {
        "diffusion_models/My-FlashTalk/toy_flashtalk.safetensors": tiny_files.dit[0],
        "diffusion_models/My-FlashTalk/flashtalk.json": tiny_files.root / "flashtalk.json",
        "vae/wan_2.1_vae.safetensors": tiny_files.vae,
        "text_encoders/umt5_xxl_toy.safetensors": tiny_files.text,
        "clip_vision/clip_vision_h.safetensors": tiny_files.clip,
        "audio_encoders/wav2vec2-chinese-base.safetensors": tiny_files.audio,
    }
    if tiny_files.tokenizer:
        places["text_encoders/spiece.model"] = tiny_files.tokenizer
    for name, source in places.items():
        (models / name).parent.mkdir(exist_ok=True)
        shutil.copy(source, models / name)
    return models


def menu(pack, name):
    inputs = pack.nodes["FlashTalk_ModelLoader"].GET_SCHEMA().inputs
    return next(each.options for each in inputs if each.id == name)


def test_the_bundled_model_is_the_default_and_needs_no_download(pack):
    found = pack.run("ModelLoader").args[0]
    assert found.checkpoint.config.name == "FlashTalk-tiny"
    assert (found.opened.device.type, found.opened.dtype) == ("cpu", torch.float32)


def test_no_weights_are_read_by_the_loader(pack, monkeypatch):
    def refuse(*_args, **_kwargs):
        pytest.fail("weights were read")

    monkeypatch.setattr(pack["flashtalk_core.weights.load"], "load_module", refuse)
    pack.run("ModelLoader")


def test_menus_list_what_lies_in_comfyuis_folders(pack, installed):
    assert menu(pack, "model") == [
        "tiny (bundled)", "auto", "My-FlashTalk/toy_flashtalk.safetensors",
    ]  # fmt: skip
    assert menu(pack, "vae") == ["auto", "wan_2.1_vae.safetensors"]
    assert menu(pack, "text_encoder")[:2] == ["auto", "none"]
    assert menu(pack, "clip_vision") == ["auto", "none", "clip_vision_h.safetensors"]


def test_gguf_text_encoders_are_listed_though_comfyui_does_not_list_them(
    pack, installed, monkeypatch
):
    (installed / "text_encoders" / "umt5").mkdir()
    (installed / "text_encoders" / "umt5" / "umt5-xxl-encoder-Q8_0.gguf").write_bytes(b"GGUF")
    host = pack["nodes.host.folders"].folder_paths
    listed = host.get_filename_list
    monkeypatch.setattr(
        host, "get_filename_list", lambda name: [e for e in listed(name) if ".gguf" not in e]
    )
    shown = menu(pack, "text_encoder")
    assert shown[2:] == [
        "spiece.model",
        "umt5/umt5-xxl-encoder-Q8_0.gguf",
        "umt5_xxl_toy.safetensors",
    ]
    message = pack.error("ModelLoader", model="auto", text_encoder=shown[3])
    assert "umt5-xxl-encoder-Q8_0.gguf: 4 bytes that are no GGUF file" in message


def test_gguf_files_in_linked_folders_are_listed_once_and_those_in_hidden_ones_never(
    pack, tmp_path, monkeypatch
):
    home, elsewhere = tmp_path / "models" / "text_encoders", tmp_path / "elsewhere"
    (home / ".cache").mkdir(parents=True)
    elsewhere.mkdir()
    for folder in (home / ".cache", elsewhere):
        (folder / "umt5-xxl-encoder-Q8_0.GGUF").write_bytes(b"GGUF")
    (home / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(home)
    (elsewhere / "round").symlink_to(elsewhere)
    folders = pack["nodes.host.folders"]
    monkeypatch.setattr(folders.folder_paths, "get_filename_list", lambda name: [])
    assert folders.part_files("text") == ["linked/umt5-xxl-encoder-Q8_0.GGUF"]


@pytest.mark.parametrize("choice", ["auto", "My-FlashTalk/toy_flashtalk.safetensors"])
def test_parts_are_found_by_their_usual_names(pack, installed, choice):
    found = pack.run("ModelLoader", model=choice).args[0].checkpoint.sources
    used = (*found.dit, *found.vae, *found.text, *found.clip, *found.audio)
    assert all(file.path.is_relative_to(installed) for file in used)


def test_a_part_can_be_chosen_next_to_the_bundled_model(pack, installed):
    found = pack.run("ModelLoader", vae="wan_2.1_vae.safetensors").args[0].checkpoint.sources
    assert found.vae[0].path == installed / "vae/wan_2.1_vae.safetensors"
    assert not found.dit[0].path.is_relative_to(installed)


def test_a_whole_model_as_published_lies_in_a_folder_of_its_own(pack, models, tiny_files):
    folder = models / "flashtalk/my-flashtalk"
    shutil.copytree(tiny_files.root, folder)
    found = pack.run("ModelLoader", model="auto").args[0].checkpoint.sources
    assert found.vae[0].path.is_relative_to(folder)


def test_a_part_that_is_missing_says_which_names_where_and_where_it_is_published(pack, installed):
    models = installed
    shutil.rmtree(models / "diffusion_models" / "My-FlashTalk")
    message = pack.error("ModelLoader", model="auto")
    assert message.startswith(refused("'model': diffusion transformer not found in "))
    assert str(models / "diffusion_models") in message
    assert str(models / "flashtalk") in message
    assert "*flashtalk*.safetensors" in message
    assert message.endswith("https://huggingface.co/Soul-AILab/SoulX-FlashTalk-14B")


@pytest.mark.parametrize(
    ("name", "folder", "pattern", "published"),
    [
        ("vae", "vae", "wan_2.1_vae*.safetensors", "Comfy-Org/Wan_2.1_ComfyUI_repackaged"),
        ("text_encoder", "text_encoders", "umt5_xxl_*", "Comfy-Org/Wan_2.1_ComfyUI_repackaged"),
        ("clip_vision", "clip_vision", "clip_vision_h*", "Comfy-Org/Wan_2.1_ComfyUI_repackaged"),
        (
            "audio_encoder",
            "audio_encoders",
            "chinese-wav2vec2*",
            "TencentGameMate/chinese-wav2vec2",
        ),
    ],
)
def test_each_missing_part_names_its_own_input(pack, installed, name, folder, pattern, published):
    for path in (installed / folder).iterdir():
        path.unlink()
    message = pack.error("ModelLoader", model="auto")
    assert message.startswith(refused(f"'{name}': "))
    assert all(part in message for part in (str(installed / folder), pattern, published))


def test_a_tokenizer_that_is_missing_is_reported(pack, installed):
    tokenizer = installed / "text_encoders/spiece.model"
    if not tokenizer.exists():
        pytest.skip("this text encoder holds its tokenizer")
    tokenizer.unlink()
    assert "tokenizer not found" in pack.error("ModelLoader", model="auto")


@pytest.mark.parametrize("name", ["vae", "text_encoder", "clip_vision", "audio_encoder"])
def test_a_file_that_is_gone_names_its_input(pack, name):
    """A saved workflow may name a file that this machine does not have."""
    loader = pack.nodes["FlashTalk_ModelLoader"]
    values = {each.id: each.default for each in loader.GET_SCHEMA().inputs}
    with pytest.raises(Exception, match="no such file; choose another") as caught:
        loader.execute(**values | {name: "gone.safetensors"})
    assert str(caught.value).startswith(refused(f"'{name}': "))


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("vae", "vae"),
        ("text_encoder", "text_encoders"),
        ("clip_vision", "clip_vision"),
        ("audio_encoder", "audio_encoders"),
    ],
)
def test_a_damaged_file_names_its_input(pack, models, name, folder):
    (models / folder / "bad.safetensors").write_bytes(b"no weights" * 50)
    message = pack.error("ModelLoader", **{name: "bad.safetensors"})
    path = models / folder / "bad.safetensors"
    assert message.startswith(refused(f"'{name}': {path}: 500 bytes that are no safetensors file"))


def test_another_models_file_names_its_input(pack, models, tiny_files):
    shutil.copy(tiny_files.dit[0], models / "vae/wrong.safetensors")
    message = pack.error("ModelLoader", vae="wrong.safetensors")
    assert message.startswith(refused("'vae': "))
    assert message.endswith(
        "holds a model's diffusion transformer, not its video autoencoder; choose another file"
    )


@pytest.mark.parametrize("name", ["text_encoder", "clip_vision"])
def test_a_part_that_is_left_out_must_come_over_a_connection(pack, name):
    bare = pack.run("ModelLoader", **{name: "none"}).args[0]
    given = {"model": bare, "speech": pack.speech(), "reference": pack.reference()}
    message = pack.error("ChunkSampler", **given)
    other = {"text_encoder": "conditioning", "clip_vision": "clip_vision_output"}[name]
    assert message.startswith("FlashTalk Chunk Sampler, input 'model': model without ")
    assert f"FlashTalk Reference has no {other}; connect it, or choose " in message


def test_a_kernel_that_is_not_installed_names_the_package(pack):
    message = pack.error("ModelLoader", attention="sage")
    assert message.startswith(refused("'attention': attention 'sage': package sageattention "))


def test_a_gpu_that_is_not_there_is_refused(pack):
    message = pack.error("ModelLoader", device="gpu:3")
    assert message == refused(
        "'device': device gpu:3: ComfyUI sees 0 GPU(s) here; use 'auto' or 'cpu'"
    )


def test_more_blocks_on_the_device_than_the_model_has_are_refused(pack):
    """The menu has no counts, but one may come over a connection."""
    node = pack.nodes["FlashTalk_ModelLoader"]
    chosen = {each.id: each.default for each in node.GET_SCHEMA().inputs}
    with pytest.raises(ValueError, match="use 6 or fewer") as caught:
        node.execute(**chosen | {"memory": "offload:99"})
    assert str(caught.value).startswith(refused("'memory': memory offload:99: the model has "))


def test_the_number_format_can_be_chosen(pack, model):
    found = pack.run("ModelLoader", dtype="bfloat16").args[0]
    assert found.opened.dtype == torch.bfloat16
    keys = {pack.frames(each).plan.fingerprint() for each in (model, found)}
    assert len(keys) == 2


def test_a_file_that_changed_is_another_model_to_comfyuis_cache(pack, installed):
    loader = pack.nodes["FlashTalk_ModelLoader"]
    values = {each.id: each.default for each in loader.GET_SCHEMA().inputs} | {"model": "auto"}
    before = loader.fingerprint_inputs(**values)
    assert loader.fingerprint_inputs(**values) == before
    path = installed / "vae/wan_2.1_vae.safetensors"
    weights = {name: each + 1 for name, each in load_file(path).items()}
    save_file(weights, path, {"changed": "yes"})
    assert loader.fingerprint_inputs(**values) != before


def test_an_audio_encoder_in_a_folder_next_to_the_model_is_found(pack, installed):
    """So the authors' own download instructions lay it down."""
    home = installed / "flashtalk" / "SoulX-FlashTalk-14B"
    shutil.copytree(installed / "diffusion_models" / "My-FlashTalk", home)
    encoder = home.parent / "chinese-wav2vec2-base"
    encoder.mkdir()
    loose = installed / "audio_encoders" / "wav2vec2-chinese-base.safetensors"
    shutil.move(loose, encoder / "model.safetensors")
    found = pack.run("ModelLoader", model="SoulX-FlashTalk-14B/toy_flashtalk.safetensors").args[0]
    assert found.checkpoint.sources.audio[0].path == encoder / "model.safetensors"


@pytest.fixture
def lora(models, tiny_files):
    """A LoRA of rank 1 for one layer of the bundled model."""
    out, width = load_file(tiny_files.dit[0])["blocks.0.self_attn.q.weight"].shape
    tensors = {"lora_A.weight": torch.ones(1, width), "lora_B.weight": torch.ones(out, 1)}
    prefix = "diffusion_model.blocks.0.self_attn.q"
    (models / "loras").mkdir()
    path = models / "loras/style.safetensors"
    save_file({f"{prefix}.{name}": value for name, value in tensors.items()}, path)
    return path


def test_a_lora_is_chosen_from_comfyuis_folder(pack, lora):
    assert menu(pack, "lora") == ["none", "style.safetensors"]
    given = {"lora": "style.safetensors", "lora_strength": 0.5}
    found = pack.run("ModelLoader", **given).args[0].checkpoint
    assert [(each.path, each.strength) for each in found.loras] == [(lora, 0.5)]
    assert pack.run("ModelLoader", **given | {"lora_strength": 0.0}).args[0].checkpoint.loras == ()


def test_a_lora_of_another_model_names_its_input(pack, lora):
    save_file({"lora_unet_mid_block.alpha": torch.ones(())}, lora)
    message = pack.error("ModelLoader", lora="style.safetensors")
    assert message.startswith(refused(f"'lora': lora {lora}: none of its 1 tensors"))


def test_a_lora_that_changed_is_another_model_to_comfyuis_cache(pack, lora):
    loader = pack.nodes["FlashTalk_ModelLoader"]
    values = {each.id: each.default for each in loader.GET_SCHEMA().inputs}
    keys = {loader.fingerprint_inputs(**values)}
    values["lora"] = "style.safetensors"
    keys.add(loader.fingerprint_inputs(**values))
    save_file(load_file(lora), lora, {"changed": "yes"})
    keys.add(loader.fingerprint_inputs(**values))
    assert len(keys) == 3


def test_the_chosen_modes_reach_the_plan_and_the_default_on_a_cpu_is_plain(pack):
    for given, fused in (({"speed": "fused", "float8": True}, True), ({}, False)):
        model = pack.run("ModelLoader", **given).args[0]
        place = pack.frames(model).plan.placement
        assert (place.kernel_options.fused_blocks, place.memory.float8) == (fused, fused)


def test_several_devices_are_one_engine_that_comfyui_can_free(pack, monkeypatch):
    found = pack.run("ModelLoader", devices="cpu, cpu").args[0]
    assert found.placement.devices == ("cpu", "cpu")
    assert "float32 on cpu, cpu" in repr(found)
    freed = []
    fleet = found.fleet._fleet
    monkeypatch.setattr(fleet, "release", lambda: freed.append(True))
    assert found.fleet.engine_for(10**9) is fleet
    assert [each.model_size() for each in found.fleet.patchers] == [10**9]
    pack["comfy.model_management"].unload_all_models()
    assert freed == [True]


def test_one_device_stays_in_this_process(pack):
    found = pack.run("ModelLoader", devices="cpu").args[0]
    assert found.fleet is None
    assert found.opened.device.type == "cpu"


def test_devices_that_cannot_be_used_are_refused(pack):
    message = pack.error("ModelLoader", devices="0,cpu")
    assert message.startswith(refused("'devices': devices cuda:0, cpu: several are all GPUs"))
    message = pack.error("ModelLoader", devices="cpu,cpu", device="cpu")
    assert message.startswith(refused("'devices': devices cpu, cpu: the device is set to 'cpu'"))


def test_a_cluster_is_an_engine_whose_devices_are_of_other_hosts(pack, monkeypatch):
    devices = pack["flashtalk_core.placement.devices"]
    monkeypatch.setattr(devices, "find_spec", lambda name: name)
    found = pack.run("ModelLoader", cluster=" head:6379 ").args[0]
    assert found.placement.cluster == "head:6379"
    assert "float32 on cpu of cluster head:6379" in repr(found)
    fleet = found.fleet._fleet
    assert (fleet.devices, fleet.is_running) == (("cpu",), False)
    assert found.fleet.engine_for(10**9) is fleet
    assert [each.model_size() for each in found.fleet.patchers] == [0]
    assert pack.frames(found).plan.placement.cluster == "head:6379"
    message = pack.error("ModelLoader", cluster="ray://head")
    assert message.startswith(refused("'cluster': cluster 'ray://head': use host:port"))
