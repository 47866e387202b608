"""Folders in which users of other packs have the parts of a model."""

import shutil

import pytest

pytestmark = pytest.mark.cpu

VISION = "open-clip-xlm-roberta-large-vit-huge-14_visual_fp16.safetensors"
LIBRARY = "TencentGameMate/chinese-wav2vec2-base"


@pytest.fixture
def wrapped(pack, tmp_path):
    """The tiny model under the names and in the folders of the WanVideoWrapper's users."""
    models = pack["nodes.host.model_files"]
    tiny = models.find_model_files(models.resolve_model("tiny"))
    home = tmp_path / "models"
    configs = tmp_path / "custom_nodes/ComfyUI-WanVideoWrapper/configs/T5_tokenizer"
    places = {
        home / "diffusion_models/Wan/FlashTalk_fp8.safetensors": tiny.dit[0],
        home / "diffusion_models/Wan/flashtalk.json": tiny.root / "flashtalk.json",
        home / "vae/wanvideo/Wan2_1_VAE_bf16.safetensors": tiny.vae,
        home / "text_encoders/umt5-xxl-enc-bf16.safetensors": tiny.text,
        home / f"text_encoders/{VISION}": tiny.clip,
        home / "wav2vec2/wav2vec2-chinese-base_fp16.safetensors": tiny.audio,
        configs / "spiece.model": tiny.tokenizer,
    }
    for path, source in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)
    pack["folder_paths"].add_model_folder_path("custom_nodes", str(tmp_path / "custom_nodes"))
    return home


def menu(pack, name):
    inputs = pack.nodes["FlashTalk_ModelLoader"].GET_SCHEMA().inputs
    return next(each.options for each in inputs if each.id == name)


def test_every_part_is_found(pack, wrapped):
    found = pack.run("ModelLoader", model="auto").args[0].checkpoint
    used = (*found.sources.dit, *found.sources.vae, *found.sources.text)
    used += (*found.sources.clip, *found.sources.audio)
    assert all(file.path.is_relative_to(wrapped) for file in used)
    assert found.sources.tokenizer.parent.name == "T5_tokenizer"
    assert found.tokenizer is not None


def test_every_part_is_in_its_menu_and_can_be_chosen(pack, wrapped):
    audio = "wav2vec2-chinese-base_fp16.safetensors"
    assert menu(pack, "audio_encoder") == ["auto", audio]
    assert menu(pack, "clip_vision") == ["auto", "none", VISION]
    given = {"clip_vision": VISION, "audio_encoder": audio}
    found = pack.run("ModelLoader", model="auto", **given).args[0].checkpoint.sources
    assert found.audio[0].path == wrapped / "wav2vec2" / audio
    assert found.clip[0].path == wrapped / "text_encoders" / VISION


def test_a_folder_that_another_pack_registered_is_asked_for_its_files(pack, wrapped, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(wrapped / "wav2vec2", elsewhere)
    pack["folder_paths"].add_model_folder_path("wav2vec2", str(elsewhere))
    found = pack.run("ModelLoader", model="auto").args[0].checkpoint.sources
    assert found.audio[0].path.parent == elsewhere
    assert menu(pack, "audio_encoder") == ["auto", "wav2vec2-chinese-base_fp16.safetensors"]


def test_the_librarys_folder_is_found_among_those_of_other_models(pack, wrapped):
    folder = wrapped / "transformers" / LIBRARY
    folder.mkdir(parents=True)
    shutil.move(wrapped / "wav2vec2/wav2vec2-chinese-base_fp16.safetensors",
                folder / "model.safetensors")  # fmt: skip
    for other in ("openai/clip/model.safetensors", "facebook/wav2vec2-base-960h/config.json"):
        (wrapped / "transformers" / other).parent.mkdir(parents=True)
        (wrapped / "transformers" / other).touch()
    found = pack.run("ModelLoader", model="auto").args[0].checkpoint.sources
    assert found.audio[0].path == folder / "model.safetensors"
    name = f"{LIBRARY}/model.safetensors"
    assert menu(pack, "audio_encoder") == ["auto", name]
    pack.run("ModelLoader", model="auto", audio_encoder=name)


def test_a_name_of_a_shared_folder_leads_nowhere_else(pack, wrapped):
    """Only files named as one of the part are offered, so no other is looked at."""
    (wrapped / "text_encoders" / "secret.safetensors").write_bytes(b"version https://git-lfs")
    loader = pack.nodes["FlashTalk_ModelLoader"]
    parts = ("model", "vae", "text_encoder", "audio_encoder")
    refused = loader.validate_inputs(
        **dict.fromkeys(parts, "auto"), clip_vision="secret.safetensors"
    )
    assert "no such file" in str(refused)
