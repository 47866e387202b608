"""Damaged weights of every kind: each is refused in one line, or read as what it is."""

import io
import json
import random

import pytest
import torch
from safetensors.torch import save

from flashtalk_core.errors import FlashTalkError
from flashtalk_core.geometry import check_size
from flashtalk_core.models.encoders.tokenizer import Tokenizer
from flashtalk_core.weights.discovery.layout import resolve_model
from flashtalk_core.weights.formats.tensor_file import open_tensor_file
from flashtalk_core.weights.load import open_avatar
from flashtalk_core.weights.lora.merge import LoraFile, plan_loras

from .mutate import cases, mutated, mutated_value, run

pytestmark = pytest.mark.manual

REFUSALS = (FlashTalkError,)
TINY = resolve_model("tiny")
LAYER = "blocks.0.self_attn.q"
SHAPES = {
    f"{LAYER}.weight": (6, 4), f"{LAYER}.bias": (6,), "blocks.0.modulation": (1, 6, 4),
    "patch_embedding.weight": (6, 3, 1, 2, 2),
}  # fmt: skip


def check(count):
    assert not count.uncaught, str(count)


def tensors():
    return {
        "a.weight": torch.ones(2, 3), "b": torch.zeros(2, dtype=torch.float16),
        "c.scale_weight": torch.ones(()), "d": torch.zeros(4, dtype=torch.uint8),
    }  # fmt: skip


def read_tensors(path):
    file = open_tensor_file(path)
    with file.reading() as read:
        for name in file.infos:
            name.rpartition(".")
            read(name)


def with_header(header, data):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def split(content):
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def damaged_file(rng, seeds):
    """Return a safetensors file with damaged bytes, or with a header of other values."""
    if rng.random() < 0.5:
        return mutated(rng, seeds)
    header, data = split(rng.choice(seeds))
    return with_header(mutated_value(rng, header), data)


def test_safetensors(tmp_path):
    path = tmp_path / "a.safetensors"
    seeds = [save(tensors(), {"format": "pt"}), save({"a": torch.zeros(0)})]

    def read(content):
        path.write_bytes(content)
        read_tensors(path)

    check(run("safetensors", read, cases(20_000, lambda rng: damaged_file(rng, seeds)), REFUSALS))


def pickles():
    for zipped in (True, False):
        written = io.BytesIO()
        torch.save(tensors(), written, _use_new_zipfile_serialization=zipped)
        yield written.getvalue()


def random_pickle(rng):
    """Return operations that go together by chance."""
    ops = b"()]}u.e1NKMX0sSaRbctqrhi\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8c\x93\x94QGJBU\x95"
    return b"\x80\x02" + bytes(rng.choice(ops) for _ in range(rng.randint(1, 40))) + b"."


def test_pickles(tmp_path):
    path, seeds = tmp_path / "a.pth", list(pickles())

    def make(rng):
        return random_pickle(rng) if rng.random() < 0.2 else mutated(rng, seeds)

    def read(content):
        path.write_bytes(content)
        read_tensors(path)

    check(run("pickles", read, cases(6_000, make), REFUSALS))


def lora_seeds():
    pair = {"lora_A.weight": torch.ones(2, 4), "lora_B.weight": torch.ones(6, 2)}
    wide = {"lora_down.weight": torch.ones(2, 3, 1, 2, 2)}
    wide |= {"lora_up.weight": torch.ones(6, 2, 1, 1, 1)}
    yield save({f"diffusion_model.{LAYER}.{part}": each for part, each in pair.items()})
    alpha = {"alpha": torch.tensor(2.0)}
    yield save({f"diffusion_model.{LAYER}.{part}": each for part, each in (pair | alpha).items()})
    yield save({f"patch_embedding.{part}": each for part, each in (wide | alpha).items()})
    yield save({f"{LAYER}.diff": torch.ones(6, 4), f"{LAYER}.diff_b": torch.ones(6),
                "lora_te.alpha": torch.ones(1)})  # fmt: skip


def test_loras(tmp_path):
    path, seeds = tmp_path / "a.safetensors", list(lora_seeds())

    def read(content):
        path.write_bytes(content)
        merge = plan_loras([LoraFile(path)], SHAPES)
        for name, shape in SHAPES.items():
            merge.merge(name, torch.zeros(shape), torch.float32)

    check(run("LoRA", read, cases(12_000, lambda rng: damaged_file(rng, seeds)), REFUSALS))


def test_tokenizers():
    seeds = [(TINY / "spiece.model").read_bytes()]

    def read(content):
        tokenizer = Tokenizer(content, "spiece.model")
        tokenizer("A person is talking. \U0001f600 \xe9", 16)

    check(run("tokenizer", read, cases(20_000, lambda rng: mutated(rng, seeds)), REFUSALS))


@pytest.fixture
def folder(tmp_path):
    for path in TINY.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "flashtalk.json").unlink()
    return tmp_path


def test_settings(folder):
    """Of accepted ones the prompt is encoded and the size checked, as before a render."""
    settings = json.loads((TINY / "flashtalk.json").read_text())

    def make(rng):
        if rng.random() < 0.1:
            return mutated(rng, [json.dumps(settings).encode()])
        part = rng.choice((None, *(name for name in settings if isinstance(settings[name], dict))))
        changed = mutated_value(rng, settings if part is None else settings[part])
        return json.dumps(changed if part is None else settings | {part: changed}).encode()

    def read(content):
        (folder / "flashtalk.json").write_bytes(content)
        checkpoint = open_avatar(folder)
        check_size(checkpoint.config.size_px)
        checkpoint.tokenizer(checkpoint.config.prompt, checkpoint.config.dit.text_len)

    check(run("flashtalk.json", read, cases(1_500, make), REFUSALS))


def test_other_json(folder):
    """``config.json`` next to the transformer, and an index of its shards."""
    (folder / "flashtalk.json").symlink_to(TINY / "flashtalk.json")
    config = {"num_heads": 11, "num_layers": 6, "text_len": 32, "context_tokens": 8, "eps": 1e-6,
              "model_type": "wav2vec2", "conv_dim": [32, 48], "do_normalize": True}  # fmt: skip
    names = ["diffusion_pytorch_model-00001-of-00002.safetensors", "b.safetensors"]
    index = {"weight_map": {"a": names[0], "b": names[1]}, "metadata": {"total_size": 5}}

    def make(rng):
        if rng.random() < 0.5:
            return "config.json", json.dumps(mutated_value(rng, config))
        return "diffusion_pytorch_model.safetensors.index.json", json.dumps(
            mutated_value(rng, index)
        )

    def read(case):
        path = folder / case[0]
        path.write_text(case[1])
        try:
            open_avatar(folder)
        finally:
            path.unlink()

    check(run("config.json, index.json", read, cases(1_500, make), REFUSALS))


def test_headers_of_a_whole_folder(folder):
    (folder / "flashtalk.json").symlink_to(TINY / "flashtalk.json")
    parts = [path for path in TINY.iterdir() if path.suffix == ".safetensors"]

    def make(rng):
        part = rng.choice(parts)
        header, _ = split(part.read_bytes())
        names = [name for name in header if name != "__metadata__"]
        for name in rng.sample(names, min(len(names), rng.choice((0, 1, 1, 2)))):
            shape = list(header[name]["shape"])
            header[name]["shape"] = rng.choice((shape[::-1], shape[1:], [1, *shape], [0], []))
            if rng.random() < 0.3:
                header[rng.choice(("a", name + ".weight", "scaled_fp8"))] = header.pop(name)
        # The sizes go together, so that what is read of the shapes comes to its turn.
        return part.name, resized(header), rng.random() < 0.5

    def read(case):
        name, content, has_settings = case
        settings = folder / "flashtalk.json"
        settings.unlink(missing_ok=True)
        if has_settings:
            settings.symlink_to(TINY / "flashtalk.json")
        part = folder / name
        part.unlink()
        part.write_bytes(content)
        try:
            open_avatar(folder)
        finally:
            part.unlink()
            part.symlink_to(TINY / name)

    check(run("headers of a folder", read, cases(1_500, make), REFUSALS))


def resized(header):
    """Return a file in which each tensor has as many bytes as its shape asks for; all zeros."""
    widths = {"F16": 2, "F32": 4, "BF16": 2, "F8_E4M3": 1, "U8": 1}
    end = 0
    for name, entry in header.items():
        if name != "__metadata__":
            length = widths[entry["dtype"]]
            for axis in entry["shape"]:
                length *= axis
            entry["data_offsets"] = [end, end + length]
            end += length
    return with_header(header, bytes(end))


def test_a_run_is_decided_by_its_seed():
    seeds = [b"0123456789" * 20]
    first, second = ([mutated(random.Random(f"{n}"), seeds) for n in range(50)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 40
