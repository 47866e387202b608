"""Every row of the table of files in docs/MODELS.md is tried: what is said to load does."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.errors import FlashTalkError
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.weights.discovery.audio_layers import BASES
from flashtalk_core.weights.discovery.parts import AUDIO_FOLDER, DEEP_AUDIO_FOLDER, PARTS
from flashtalk_core.weights.discovery.search import in_model_folder
from flashtalk_core.weights.formats.suffixes import READABLE
from flashtalk_core.weights.light_vae import open_light_vae
from flashtalk_core.weights.lone_transformer import open_transformer
from flashtalk_core.weights.lora.merge import LoraFile, plan_loras
from flashtalk_core.weights.mapping.kinds import check_kind
from tests.gguf_files import write_file
from tests.unit.weights.light_files import tae
from tests.unit.weights.mapping.test_published_names import library_transformer_name
from tests.unit.weights.test_packed import CONFIG, weights

pytestmark = pytest.mark.cpu

__all__ = ["weights"]

DOCUMENT = Path(__file__).parents[3] / "docs" / "MODELS.md"
LAYER, Q = "blocks.0.ffn.0", "blocks.0.self_attn.q"
ROWS, COLUMNS = CONFIG.ffn_dim, CONFIG.dim
E4M3 = torch.float8_e4m3fn


def last_cells(text):
    """Return the third cell of each row of a table, by the first one."""
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return {row[0]: row[2] for row in cells[1:]}


def table():
    text = DOCUMENT.read_text("utf-8")
    return last_cells(text.partition("\n## Before and after\n")[2].partition("\n## ")[0])


def documented_names():
    """Return the names that ``auto`` is said to find, in lower case, by the title of the part."""
    rows = last_cells(DOCUMENT.read_text("utf-8").partition("\n## ")[0])
    endings = (*READABLE, ".json", "/")
    return {
        title: {
            (name if name.endswith(endings) else f"{name}.safetensors").lower()
            for name in re.findall("`([^`]+)`", cell)
        }
        for title, cell in rows.items()
    }


def saved(folder, tensors, name="model.safetensors", metadata=None):
    save_file(
        {key: value.clone().contiguous() for key, value in tensors.items()}, folder / name, metadata
    )
    return [folder / name]


def cast(tensors, dtype):
    return {name: t.to(dtype) if t.dim() > 1 else t for name, t in tensors.items()}


def packed(tensors, config, **stored):
    """Return tensors with one layer as ComfyUI describes it."""
    text = torch.tensor(list(json.dumps(config).encode()), dtype=torch.uint8)
    return tensors | {
        f"{LAYER}.{key}": value for key, value in ({"comfy_quant": text} | stored).items()
    }


def fp8(tensors, **more):
    weight = tensors[f"{LAYER}.weight"].to(E4M3)
    return tensors | {f"{LAYER}.weight": weight} | {f"{LAYER}.{k}": v for k, v in more.items()}


def split(tensors):
    audio = {n: t for n, t in tensors.items() if "audio" in n or "norm_x" in n}
    return {n: t for n, t in tensors.items() if n not in audio}, audio


def shards(folder, tensors):
    names = list(tensors)
    for number, part in enumerate((names[::2], names[1::2]), 1):
        name = f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        saved(folder, {key: tensors[key] for key in part}, name)
    return [folder / "diffusion_pytorch_model-00001-of-00002.safetensors"]


def in_header(folder, tensors):
    layers = json.dumps({"layers": {LAYER: {"format": "float8_e4m3fn"}}})
    one = torch.tensor(1.0)
    metadata = {"_quantization_metadata": layers}
    return saved(folder, fp8(tensors, weight_scale=one), metadata=metadata)


def both(folder, tensors):
    base, audio = split(tensors)
    return saved(folder, base, "base.safetensors") + saved(
        folder, audio, "infinitetalk.safetensors"
    )


def pickled(folder, tensors, ending):
    torch.save({"state_dict": tensors}, folder / f"model.{ending}")
    return [folder / f"model.{ending}"]


def renamed(folder, tensors, name):
    (path,) = saved(folder, tensors)
    return [path.rename(folder / name)]


ONE, BYTES = torch.tensor(1.0), torch.zeros(ROWS, COLUMNS, dtype=torch.uint8)
BY_ROW = torch.ones(ROWS, 1)
TRANSFORMERS = {
    "FlashTalk's shards": [shards],
    "one file in bf16, fp16 or plain fp8": [
        lambda f, t, d=dtype: saved(f, cast(t, d)) for dtype in (torch.bfloat16, torch.half, E4M3)
    ],
    "fp8 with `scale_weight` and `scaled_fp8`, with `scale_input` or without": [
        lambda f, t, more=more: saved(
            f, fp8(t, scale_weight=ONE, **more) | {"scaled_fp8": torch.zeros(2).to(E4M3)}
        )
        for more in ({}, {"scale_input": ONE})
    ],
    "fp8 with `weight_scale` and `comfy_quant`, or a description in the header": [
        lambda f, t: saved(f, packed(fp8(t), {"format": "float8_e4m3fn"}, weight_scale=ONE)),
        in_header,
    ],
    "the same, stored as bytes": [
        lambda f, t: saved(
            f, packed(t, {"format": "float8_e4m3fn"}, weight=BYTES, weight_scale=ONE)
        )
    ],
    "saved by ComfyUI, with a prefix": [
        lambda f, t, p=prefix: saved(f, {p + name: value for name, value in t.items()})
        for prefix in ("model.diffusion_model.", "diffusion_model.", "model.")
    ],
    "a marker key, `model_type.*`": [
        lambda f, t: saved(f, t | {"model_type.Wan2_1-I2V": torch.zeros(1)})
    ],
    "names of the diffusers library": [
        lambda f, t: saved(f, {library_transformer_name(n): v for n, v in t.items()})
    ],
    "Wan 2.1 image to video alone": [lambda f, t: saved(f, split(t)[0])],
    "InfiniteTalk's audio layers alone": [lambda f, t: saved(f, split(t)[1])],
    "both of these": [both],
    "NVFP4": [
        lambda f, t: saved(f, packed(
            t, {"format": "nvfp4"}, weight=BYTES[:, ::2], weight_scale_2=ONE,
            weight_scale=torch.ones(ROWS, COLUMNS // 16).to(E4M3),
        ))
    ],
    "INT8 tensorwise, with `convrot` or without": [
        lambda f, t, c=config: saved(f, packed(
            t, {"format": "int8_tensorwise"} | c, weight=BYTES.to(torch.int8), weight_scale=BY_ROW
        ))
        for config in ({}, {"convrot": True, "convrot_groupsize": 256})
    ],
    "MXFP8": [
        lambda f, t: saved(f, packed(
            fp8(t), {"format": "mxfp8"}, weight_scale=BYTES[:, : COLUMNS // 32]
        ))
    ],
    "`convrot_w4a4`, `asym_w4a8_int8`": [
        lambda f, t, k=kind: saved(f, packed(
            t, {"format": k}, weight=BYTES[:, ::2].to(torch.int8), weight_scale=BY_ROW
        ))
        for kind in ("convrot_w4a4", "asym_w4a8_int8")
    ],
    "fp8 in blocks (`weight_scale_inv`)": [
        lambda f, t: saved(f, fp8(t, weight_scale_inv=torch.ones(ROWS // 128, COLUMNS // 128)))
    ],
    "quanto (`weight._data`), GemLite (`W_q`)": [
        lambda f, t, k=key: saved(
            f, {n: v for n, v in t.items() if n != f"{Q}.weight"} | {f"{Q}.{k}": BYTES}
        )
        for key in ("weight._data", "W_q")
    ],
    "GGUF": [lambda f, t, k=kind: [write_file(f / "m.gguf", t, k)] for kind in ("Q8_0", "Q4_K")],
    "`.sft`": [lambda f, t: renamed(f, t, "model.sft")],
    "`.ckpt`, `.pkl`": [lambda f, t, e=end: pickled(f, t, e) for end in ("ckpt", "pkl")],
    "`.pt2`": [lambda f, t: renamed(f, t, "model.pt2")],
}  # fmt: skip
VISION = "open-clip-xlm-roberta-large-vit-huge-14_visual_fp16.safetensors"
NAMES = {
    "`vae/wan_2.1_vae`": ("vae", "vae/wan_2.1_vae.safetensors"),
    "`vae/Wan2_1_VAE_bf16`, `_fp32`": ("vae", "vae/Wan2_1_VAE_bf16.safetensors"),
    "in a sub-folder, `vae/wan/`": ("vae", "vae/wan/wan_2.1_vae.safetensors"),
    "`umt5_xxl_*`": ("text", "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"),
    "`umt5-xxl-enc-*`": ("text", "text_encoders/umt5-xxl-enc-bf16.safetensors"),
    "`umt5-xxl-encoder-Q*.gguf`": ("text", "text_encoders/umt5-xxl-encoder-Q8_0.gguf"),
    "`clip_vision_h`": ("clip", "clip_vision/clip_vision_h.safetensors"),
    "`open-clip-*_visual`": ("clip", f"clip_vision/{VISION}"),
    "the same in `text_encoders`": ("clip", f"text_encoders/{VISION}"),
    "`audio_encoders/wav2vec2-chinese-base`": (
        "audio", "audio_encoders/wav2vec2-chinese-base_fp16.safetensors"),
    "the same in `wav2vec2`": ("audio", "wav2vec2/wav2vec2-chinese-base_fp16.safetensors"),
    "`transformers/*/chinese-wav2vec2-base/`": (
        "audio", "transformers/TencentGameMate/chinese-wav2vec2-base/pytorch_model.bin"),
    "`CLIP-ViT-H-14-laion2B` (IPAdapter)": (
        "clip", "clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"),
}  # fmt: skip
UP, DOWN, HALF = torch.ones(COLUMNS, 2), torch.ones(2, COLUMNS), torch.ones(16, 16)
LORAS = {
    "LoRA of lightx2v, ComfyUI, diffusers, kohya": [
        {f"diffusion_model.{Q}.lora_up.weight": UP, f"diffusion_model.{Q}.lora_down.weight": DOWN},
        {f"{Q}.lora_B.weight": UP, f"{Q}.lora_A.weight": DOWN},
        {f"lora_unet_{Q.replace('.', '_')}.{k}": v
         for k, v in (("lora_up.weight", UP), ("lora_down.weight", DOWN), ("alpha", ONE))},
    ],
    "LoRA with the prefix `model.`": [
        {f"model.{Q}.lora_B.weight": UP, f"model.{Q}.lora_A.weight": DOWN}
    ],
    "LoHa": [{f"{Q}.hada_{k}": v for k, v in
              (("w1_a", UP), ("w1_b", DOWN), ("w2_a", UP), ("w2_b", DOWN))}],
    "LoKr": [{f"{Q}.lokr_w1": HALF, f"{Q}.lokr_w2": HALF}],
    "`set_weight`": [{f"{Q}.set_weight": torch.ones(COLUMNS, COLUMNS)}],
    "DoRA": [{f"{Q}.lora_B.weight": UP, f"{Q}.lora_A.weight": DOWN, f"{Q}.dora_scale": BY_ROW}],
}  # fmt: skip
TAE = "TAE (`lighttaew2_1`, `taew2_1`) as autoencoder"
LIGHT = {
    "the same to decode with, beside the model's own": ("taew2_1", lambda: tae((4, 4, 4, 4), 4)),
    "LightVAE (`lightvaew2_1`) to decode with": (
        "lightvaew2_1", lambda: VideoVAE(VAEConfig(dim=8, num_res_blocks=1)).state_dict()),
}  # fmt: skip


TITLES = {
    "dit": "transformer", "vae": "autoencoder", "text": "text encoder", "clip": "image encoder",
    "audio": "audio encoder",
}  # fmt: skip
MORE = {
    "dit": (*BASES, *(f"{folder}/" for folder in PARTS["dit"].own_folders)),
    "audio": (f"{AUDIO_FOLDER}/", f"{DEEP_AUDIO_FOLDER}/"),
}


@pytest.mark.parametrize("part", TITLES)
def test_the_names_that_are_found_are_those_of_the_document(part):
    found = {name.lower() for name in (*PARTS[part].patterns, *MORE.get(part, ()))}
    assert documented_names()[TITLES[part]] == found


def test_the_table_has_the_rows_that_are_tried():
    assert set(table()) == {*TRANSFORMERS, *NAMES, *LORAS, *LIGHT, TAE}


def agree(row, tries):
    """Hold what each of some tries does to what the table says."""
    said = table()[row]
    assert tries
    for attempt in tries:
        if said.startswith("yes"):
            attempt()
            continue
        assert said.startswith("no: ")
        with pytest.raises(FlashTalkError) as caught:
            attempt()
        assert said.removeprefix("no: ").strip('"') in str(caught.value)


@pytest.mark.parametrize("row", TRANSFORMERS)
def test_a_transformer(weights, tmp_path, row):
    agree(row, [lambda w=w: open_transformer(w(tmp_path, weights)) for w in TRANSFORMERS[row]])


@pytest.mark.parametrize("row", NAMES)
def test_a_name(tmp_path, row):
    part, name = NAMES[row]
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    agree(row, [lambda: in_model_folder(tmp_path, part).run()])


@pytest.mark.parametrize("row", LORAS)
def test_a_lora(weights, tmp_path, row):
    shapes = {name: tuple(value.shape) for name, value in weights.items()}

    def plan(tensors):
        (path,) = saved(tmp_path, tensors)
        plan_loras([LoraFile(path, 1.0)], shapes)

    agree(row, [lambda t=tensors: plan(t) for tensors in LORAS[row]])


def test_another_autoencoder():
    names = list(tae((4, 4, 4, 4), 4))
    agree(TAE, [lambda: check_kind("vae", "file a", names)])


@pytest.mark.parametrize("row", LIGHT)
def test_a_light_autoencoder(tmp_path, row):
    name, tensors = LIGHT[row]
    save_file(tensors(), tmp_path / f"{name}.safetensors")
    agree(row, [lambda: open_light_vae(tmp_path / f"{name}.safetensors", VAEConfig())])
