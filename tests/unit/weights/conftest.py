"""Toy checkpoints in both layouts, made of the golden weights, which fit together."""

import io
import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from flashtalk_core.weights.load import load_avatar
from flashtalk_core.weights.save import save_component, save_settings

GOLDEN = Path(__file__).parents[2] / "golden"
SHARD = "diffusion_pytorch_model-{:05}-of-00003.safetensors"


def golden_weights(name):
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        names = [key for key in file.keys() if key.startswith("weights.")]  # noqa: SIM118
        return {key.removeprefix("weights."): file.get_tensor(key) for key in names}


def golden_config(name):
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        return json.loads(file.metadata()["config"])


def train_tokenizer(vocab_size=40):
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a person is talking", "the background is static"] * 5),
        model_writer=written,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return written.getvalue()


def write_transformer(folder):
    """Write three shards, their index, and a config.json without what shapes determine."""
    weights = golden_weights("dit")
    names = sorted(weights)
    parts = {SHARD.format(i + 1): names[i::3] for i in range(3)}
    for shard, held in parts.items():
        save_file({name: weights[name].clone() for name in held}, folder / shard)
    index = {"weight_map": {name: shard for shard, held in parts.items() for name in held}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    config = {"model_type": "i2v", "num_heads": 4, "text_len": 24, "context_tokens": 6}
    (folder / "config.json").write_text(json.dumps(config))


def write_audio_encoder(folder):
    """Write a wav2vec2 as the library did before PyTorch had parametrizations."""
    folder.mkdir()
    old = {"original0": "weight_g", "original1": "weight_v"}
    weights = {"quantizer.codevectors": torch.zeros(1, 4, 2), "project_q.bias": torch.zeros(2)}
    for name, tensor in golden_weights("wav2vec2").items():
        stem, _, leaf = name.rpartition(".")
        stem = stem.replace(".parametrizations.weight", "")
        weights["wav2vec2." + ".".join(filter(None, (stem, old.get(leaf, leaf))))] = tensor
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(golden_config("wav2vec2")))
    (folder / "preprocessor_config.json").write_text('{"do_normalize": true}')


def write_authors_layout(root):
    folder = root / "SoulX-FlashTalk-14B"
    (folder / "google/umt5-xxl").mkdir(parents=True)
    write_transformer(folder)
    torch.save(golden_weights("vae"), folder / "Wan2.1_VAE.pth")
    torch.save(golden_weights("umt5"), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    (folder / "google/umt5-xxl/spiece.model").write_bytes(train_tokenizer())
    clip = {f"visual.{name}": tensor for name, tensor in golden_weights("clip").items()}
    clip |= {"log_scale": torch.zeros(()), "textual.head.0.weight": torch.zeros(2, 2)}
    torch.save(clip, folder / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth")
    write_audio_encoder(root / "chinese-wav2vec2-base")
    settings = {"name": "toy", "size_px": [96, 64], "known_sizes_px": [[96, 64]]}
    settings |= {"clip": {"num_heads": 4}, "vae": {"dim": 8}}
    (folder / "flashtalk.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def authors_folder(tmp_path_factory):
    """A whole checkpoint in the authors' layout; not to be changed."""
    return write_authors_layout(tmp_path_factory.mktemp("authors"))


@pytest.fixture
def copied_folder(authors_folder, tmp_path):
    """The same, for a test to damage."""
    shutil.copytree(authors_folder.parent, tmp_path / "copy")
    return tmp_path / "copy" / authors_folder.name


@pytest.fixture(scope="session")
def models(authors_folder):
    return load_avatar(authors_folder, "cpu")


@pytest.fixture(scope="session")
def repackaged_folder(models, authors_folder, tmp_path_factory):
    """The same weights under the names and in the folders that ComfyUI's users have."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = (authors_folder / "google/umt5-xxl/spiece.model").read_bytes()
    places = {
        "diffusion_models/SoulX-FlashTalk.safetensors": (models.dit, {}),
        "vae/wan_2.1_vae.safetensors": (models.vae, {}),
        "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors": (
            models.text_encoder,
            {"fp8": True, "tokenizer": tokenizer},
        ),
        "clip_vision/clip_vision_h.safetensors": (models.clip, {}),
        "audio_encoders/wav2vec2-chinese-base_fp16.safetensors": (models.audio_encoder, {}),
    }
    for name, (module, options) in places.items():
        (folder / name).parent.mkdir()
        save_component(module, folder / name, **options)
    save_settings(models.config, folder)
    return folder
