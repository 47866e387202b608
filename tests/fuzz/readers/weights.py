"""Weights: tensor files, LoRAs, the tokenizer, settings, and headers of a whole folder."""

import io
import json
import os
import pickle
from math import prod

import torch
from safetensors.torch import save

from flashtalk_core.geometry import check_size
from flashtalk_core.models.encoders.tokenizer import Tokenizer
from flashtalk_core.weights.discovery.layout import resolve_model
from flashtalk_core.weights.formats.tensor_file import open_tensor_file
from flashtalk_core.weights.load import open_avatar
from flashtalk_core.weights.lora.merge import LoraFile, plan_loras
from tests.gguf_files import write_file

from ..mutate import (
    changed_json,
    changed_safetensors,
    mutated,
    mutated_value,
    split_safetensors,
)
from ..reader import Reader

TINY = resolve_model("tiny")
LAYER = "blocks.0.self_attn.q"
SHAPES = {
    f"{LAYER}.weight": (6, 4), f"{LAYER}.bias": (6,), "blocks.0.modulation": (1, 6, 4),
    "patch_embedding.weight": (6, 3, 1, 2, 2),
}  # fmt: skip
WIDTHS = {"F16": 2, "F32": 4, "BF16": 2, "F8_E4M3": 1, "U8": 1}
MOST_SPARSE_BYTES = 2**30


def _tensors():
    return {
        "a.weight": torch.ones(2, 3), "b": torch.zeros(2, dtype=torch.float16),
        "c.scale_weight": torch.ones(()), "d": torch.zeros(4, dtype=torch.uint8),
    }  # fmt: skip


def _safetensors(folder):
    described = torch.tensor(list(b'{"format": "int8_tensorwise"}'), dtype=torch.uint8)
    quantised = {"a.weight": torch.ones(2, 4, dtype=torch.int8), "a.weight_scale": torch.ones(2)}
    return [
        save(_tensors(), {"format": "pt"}),
        save({"a": torch.zeros(0)}),
        save(quantised | {"a.comfy_quant": described}),
    ]


def _gguf(folder):
    tensors = {"a.weight": torch.ones(2, 32), "b": torch.zeros(2), "c": torch.ones(2, 2, 1, 2, 2)}
    return [write_file(folder / "seed.gguf", tensors, kind).read_bytes() for kind in ("Q8_0", None)]


def _open_tensors(name):
    def opened(folder):
        path = folder / name

        def read(content):
            path.write_bytes(content)
            file = open_tensor_file(path)
            with file.reading() as read:
                for tensor, info in file.infos.items():
                    stored = read(tensor)
                    if info.form is not None:
                        parts = info.form.arrange(stored, *map(read, info.form.companions))
                        info.form.packing.unpacked(parts, torch.float32)

        return read

    return opened


class _Runs:
    """Pickled, it runs a program when it is read."""

    def __reduce__(self):
        return os.system, ("true",)


def _pickles(folder):
    files = []
    for is_zip in (True, False):
        written = io.BytesIO()
        torch.save(_tensors(), written, _use_new_zipfile_serialization=is_zip)
        files.append(written.getvalue())
    evil = io.BytesIO()
    torch.save({"a": torch.ones(2), "b": _Runs()}, evil)
    return [*files, evil.getvalue(), pickle.dumps({"a": _Runs()})]


def _changed_pickle(rng, seeds):
    if rng.random() > 0.2:
        return mutated(rng, seeds)
    ops = b"()]}u.e1NKMX0sSaRbctqrhi\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8c\x93\x94QGJBU\x95"
    return b"\x80\x02" + bytes(rng.choice(ops) for _ in range(rng.randint(1, 40))) + b"."


def _loras(folder):
    pair = {"lora_A.weight": torch.ones(2, 4), "lora_B.weight": torch.ones(6, 2)}
    wide = {"lora_down.weight": torch.ones(2, 3, 1, 2, 2)}
    wide |= {"lora_up.weight": torch.ones(6, 2, 1, 1, 1)}
    alpha = {"alpha": torch.tensor(2.0)}
    loha = {f"hada_{name}_a": torch.ones(6, 2) for name in ("w1", "w2")}
    loha |= {f"hada_{name}_b": torch.ones(2, 4) for name in ("w1", "w2")}
    lokr = {"lokr_w1": torch.ones(3, 2), "lokr_w2_a": torch.ones(2, 1)}
    lokr |= {"lokr_w2_b": torch.ones(1, 2)}
    flat = LAYER.replace(".", "_")
    return [
        save({f"diffusion_model.{LAYER}.{part}": each for part, each in pair.items()}),
        save({f"diffusion_model.{LAYER}.{part}": each for part, each in (pair | alpha).items()}),
        save({f"patch_embedding.{part}": each for part, each in (wide | alpha).items()}),
        save({f"{LAYER}.diff": torch.ones(6, 4), f"{LAYER}.diff_b": torch.ones(6),
              "lora_te.alpha": torch.ones(1)}),
        save({f"lora_unet_{flat}.lora_down.weight": torch.ones(2, 4),
              f"lora_unet_{flat}.lora_up.weight": torch.ones(6, 2)}),
        save({f"transformer.blocks.0.attn1.to_q.{part}": each for part, each in pair.items()}),
        save({f"lycoris_{flat}.{part}": each for part, each in (loha | alpha).items()}),
        save({f"lora_unet_{flat}.{part}": each for part, each in (lokr | alpha).items()}),
        save({f"{LAYER}.set_weight": torch.ones(6, 4), f"model.{LAYER}.bias.diff": torch.ones(6)}),
    ]  # fmt: skip


def _open_lora(folder):
    path = folder / "a.safetensors"

    def read(content):
        path.write_bytes(content)
        merge = plan_loras([LoraFile(path)], SHAPES)
        for name, shape in SHAPES.items():
            merge.merge(name, torch.zeros(shape), torch.float32)

    return read


def _tokenizer(folder):
    return [(TINY / "spiece.model").read_bytes()]


def _open_tokenizer(folder):
    def read(content):
        tokenizer = Tokenizer(content, "spiece.model")
        tokenizer("A person is talking. \U0001f600 \xe9", 16)

    return read


def _folder_of_links(folder, *left_out):
    for path in TINY.iterdir():
        if path.name not in left_out:
            (folder / path.name).symlink_to(path)
    return folder


def _settings(folder):
    return [(TINY / "flashtalk.json").read_bytes()]


def _open_settings(folder):
    """Of accepted ones the prompt is encoded and the size checked, as before a render."""
    _folder_of_links(folder, "flashtalk.json")

    def read(content):
        (folder / "flashtalk.json").write_bytes(content)
        checkpoint = open_avatar(folder)
        check_size(checkpoint.config.size_px)
        checkpoint.tokenizer(checkpoint.config.prompt, checkpoint.config.dit.text_len)

    return read


def _configs(folder):
    config = {"num_heads": 11, "num_layers": 6, "text_len": 32, "context_tokens": 8, "eps": 1e-6,
              "model_type": "wav2vec2", "conv_dim": [32, 48], "do_normalize": True}  # fmt: skip
    return [json.dumps(config).encode()]


def _indexes(folder):
    names = ["diffusion_pytorch_model-00001-of-00002.safetensors", "b.safetensors"]
    whole = "diffusion_pytorch_model.safetensors"
    header, _ = split_safetensors((TINY / whole).read_bytes())
    files = (
        {"a": names[0], "b": names[1]},
        {"a": "../../../../etc/passwd"},
        dict.fromkeys(header.keys() - {"__metadata__"}, whole),
    )
    return [json.dumps({"weight_map": each, "metadata": {}}).encode() for each in files]


def _open_beside(name):
    """Return what reads the folder of the tiny model with one more file in it."""

    def opened(folder):
        path = _folder_of_links(folder) / name

        def read(content):
            path.write_bytes(content)
            open_avatar(folder)

        return read

    return opened


def _headers(folder):
    """Return part and header of each file: data are zeros."""
    parts = sorted(path for path in TINY.iterdir() if path.suffix == ".safetensors")
    return [
        path.name.encode() + b"\n" + json.dumps(split_safetensors(path.read_bytes())[0]).encode()
        for path in parts
    ]


def _changed_header(rng, seeds):
    """Change names and shapes; sizes go together, so that what is read of shapes comes to turn."""
    name, _, text = rng.choice(seeds).partition(b"\n")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        return mutated(rng, seeds)
    names = [each for each in header if _is_entry(header[each])]
    for each in rng.sample(names, min(len(names), rng.choice((0, 1, 1, 2)))):
        shape = list(header[each]["shape"])
        header[each]["shape"] = rng.choice((shape[::-1], shape[1:], [1, *shape], [0], []))
        if rng.random() < 0.3:
            header[rng.choice(("a", each + ".weight", "scaled_fp8"))] = header.pop(each)
    end = 0
    for each in filter(_is_entry, header.values()):
        length = WIDTHS[each["dtype"]] * prod(each["shape"])
        each["data_offsets"] = [end, end + length]
        end += length
    if rng.random() < 0.2:
        header = mutated_value(rng, header)
    return name + b"\n" + json.dumps(header).encode()


def _is_entry(value):
    return (
        isinstance(value, dict)
        and isinstance(value.get("dtype"), str)
        and value["dtype"] in WIDTHS
        and isinstance(value.get("shape"), list)
        and all(type(axis) is int and 0 <= axis < 10_000 for axis in value["shape"])
    )


def _open_folder(folder):
    parts = {path.name for path in _folder_of_links(folder).iterdir()}
    settings = folder / "flashtalk.json"

    def read(case):
        name, _, text = case.partition(b"\n")
        part = folder / name.decode("ascii", "replace")
        if part.name not in parts or part.suffix != ".safetensors":
            part = folder / "vae.safetensors"
        if len(case) % 2:
            settings.unlink()
        part.unlink()
        with part.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + _data_bytes(text))
        try:
            open_avatar(folder)
        finally:
            part.unlink()
            part.symlink_to(TINY / part.name)
            if len(case) % 2:
                settings.symlink_to(TINY / settings.name)

    return read


def _data_bytes(text):
    """Return how many bytes follow a header, 0 where that is not to be known."""
    header, _ = split_safetensors(len(text).to_bytes(8, "little") + text)
    entries = header.values() if isinstance(header, dict) else ()
    offsets = [each.get("data_offsets") for each in entries if isinstance(each, dict)]
    ends = [each[1] for each in offsets if isinstance(each, list) and len(each) == 2]
    return max((end for end in ends if type(end) is int and 0 < end < MOST_SPARSE_BYTES), default=0)


READERS = (
    Reader("safetensors", _safetensors, _open_tensors("a.safetensors"), changed_safetensors, 8_000),
    Reader("GGUF", _gguf, _open_tensors("a.gguf"), share=6_000),
    Reader("pickles", _pickles, _open_tensors("a.pth"), _changed_pickle, 5_000),
    Reader("LoRA", _loras, _open_lora, changed_safetensors, 8_000),
    Reader("tokenizer", _tokenizer, _open_tokenizer, share=8_000),
    Reader("flashtalk.json", _settings, _open_settings, changed_json, 2_000),
    Reader("config.json", _configs, _open_beside("config.json"), changed_json, 1_500),
    Reader(
        "index of shards", _indexes,
        _open_beside("diffusion_pytorch_model.safetensors.index.json"), changed_json, 1_500,
    ),
    Reader("headers of a folder", _headers, _open_folder, _changed_header, 1_500),
)  # fmt: skip
