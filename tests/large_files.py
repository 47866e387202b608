"""Files of the published models by name, shape and type: headers are real, weights are holes."""

import json
import math
from pathlib import Path

MANIFESTS = Path(__file__).parent / "golden" / "manifests"
BYTES = {"F8_E4M3": 1, "BF16": 2, "F32": 4}


def shapes_of(manifest):
    """Return shapes of a published file's tensors by name."""
    return json.loads((MANIFESTS / f"{manifest}.json").read_text())["tensors"]


def scaled(shapes):
    """Return the tensors of a file in scaled FP8: matrices in FP8, each with its scale."""
    tensors = {"scaled_fp8": ("F8_E4M3", [2])}
    for name, shape in shapes.items():
        is_matrix = name.endswith(".weight") and len(shape) == 2
        tensors[name] = ("F8_E4M3" if is_matrix else "BF16", shape)
        if is_matrix:
            tensors[name.removesuffix("weight") + "scale_weight"] = ("F32", [])
    return tensors


def plain(shapes):
    """Return the tensors of a file in bfloat16."""
    return {name: ("BF16", shape) for name, shape in shapes.items()}


def write_sparse(path, tensors):
    """Write a safetensors file whose weights take no room on the disk."""
    header, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + BYTES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


def write_large_model(models, tokenizer, transformer="flashtalk_14b_fp8_scaled.safetensors"):
    """Write SoulX-FlashTalk 14B into ComfyUI's folder of models, as people have it."""
    text = {name: at for name, at in shapes_of("repackaged_umt5").items() if name != "spiece_model"}
    files = {
        f"diffusion_models/{transformer}": scaled(shapes_of("official_dit")),
        "vae/wan_2.1_vae.safetensors": plain(shapes_of("official_vae")),
        "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors": scaled(text),
        "clip_vision/clip_vision_h.safetensors": plain(shapes_of("repackaged_clip_vision_h")),
        "audio_encoders/wav2vec2-chinese-base.safetensors": plain(shapes_of("hf_wav2vec2_base")),
    }
    for name, tensors in files.items():
        write_sparse(models / name, tensors)
    (models / "text_encoders" / "spiece.model").write_bytes(tokenizer.read_bytes())
