"""What ComfyUI shows of a node's inputs: ``str`` of each, in every error report it sends."""

import dataclasses

import pytest
import torch
from PIL import Image

from tests.large_files import write_large_model

pytestmark = pytest.mark.cpu

LIMIT = 500
LONG_PROMPT = "A person\nis talking. " * 500
LONG_NAME = "n" * 230


def held(root, of):
    """Yield every object of the pack's own classes that ``root`` holds, itself included."""
    seen, waiting = {}, [root]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, torch.nn.Module | torch.Tensor | type):
            continue
        seen[id(found)] = found
        if isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, list | tuple | set):
            waiting += found
        elif type(found).__module__.startswith(of):
            yield found
            waiting += vars(found).values() if hasattr(found, "__dict__") else []


@pytest.fixture
def nothing_is_read(pack, monkeypatch):
    """Fail on printing tensors, hashing images or reading weights."""

    def refuse(*_args, **_kwargs):
        pytest.fail("too much work for a line")

    monkeypatch.setattr(torch.Tensor, "__repr__", refuse)
    monkeypatch.setattr(Image.Image, "tobytes", refuse)
    files = pack["flashtalk_core.weights.formats.tensor_file"]
    monkeypatch.setattr(files.TensorFile, "reading", refuse)
    audio = pack["flashtalk_core.media.audio.source"].AudioArray
    monkeypatch.setattr(audio, "digest", property(refuse))


def check(description, says):
    """Demand one short line of ``description`` and of all it holds."""
    pack = type(description).__module__.partition(".")[0]
    for found in held(description, pack):
        for line in (repr(found), str(found)):
            assert len(line) <= LIMIT, (type(found), line)
            assert line.isprintable(), (type(found), line)
            assert " object at 0x" not in line or not dataclasses.is_dataclass(found), line
    line = str(description)
    assert line.startswith("FlashTalk ")
    assert not [part for part in says if part not in line], line


def large_model(pack, tmp_path):
    """Return a description of the 14B model in scaled fp8, under names as long as they get."""
    tokenizer = pack.run("ModelLoader").args[0].checkpoint.sources.tokenizer
    folder = tmp_path / "models" / ("d" * 200)
    write_large_model(tmp_path / "models", tokenizer, f"flashtalk_{LONG_NAME}.safetensors")
    assert not folder.exists()
    return pack.run("ModelLoader", model="auto", dtype="bfloat16").args[0]


def test_a_model_is_a_line(pack, used_model, nothing_is_read):
    check(used_model, ["FlashTalk-tiny", "float32 on cpu", "memory auto"])


def test_a_large_model_in_scaled_fp8_is_a_line(pack, tmp_path, nothing_is_read):
    model = large_model(pack, tmp_path)
    assert sum(len(pieces) for _source, pieces in model.checkpoint.dit_plan.sources) > 1000
    check(model, ["SoulX-FlashTalk-14B", "bfloat16 on cpu", "from flashtalk_nnn", "..."])


def test_a_speech_is_a_line(pack, make, nothing_is_read):
    speech = pack.run("AudioEncode", audio=make.audio(2.0, 44_100, 2), mouth_strength=1.5)
    check(speech.args[0], ["2.00 s at 44100 Hz", "2 channel(s)", "mouth strength 1.5"])


def test_a_portrait_is_a_line(pack, nothing_is_read):
    changes = f"1: {LONG_PROMPT.replace(chr(10), ' ')}\n2: She smiles"
    found = pack.reference(prompt=LONG_PROMPT, prompt_changes=changes)
    check(found, ["32x40 to 32x32", "fit cover", "prompt 'A person is", "2 prompt change(s)"])


def test_an_encoded_portrait_is_a_line(pack, model, nothing_is_read):
    dit = model.checkpoint.config.dit
    output = type("Output", (), {})()
    output.penultimate_hidden_states = torch.ones(1, dit.clip_tokens, dit.clip_dim)
    conditioning = [[torch.ones(1, 4, dit.text_dim), {}]]
    size = {"size": "the model's own"}
    found = pack.reference(conditioning=conditioning, clip_vision_output=output, **size)
    check(found, ["the model's own size", "CONDITIONING", "CLIP_VISION_OUTPUT"])


@pytest.mark.parametrize("is_decoded", [False, True])
def test_chunks_are_a_line(pack, model, is_decoded, nothing_is_read):
    parts = {"model": model, "speech": pack.speech(), "reference": pack.reference()}
    chunks = pack.run("ChunkSampler", **parts, seed=7).args[0]
    if is_decoded:
        chunks = pack.run("ParallelDecode", chunks=chunks).args[0]
    check(chunks, ["0.32 s at 32x32", "seed 7", "FlashTalk-tiny"])


def test_a_lora_is_named(pack, tmp_path, nothing_is_read):
    lora = pack["flashtalk_core.weights.lora.merge"]
    path = tmp_path / f"{LONG_NAME}.safetensors"
    path.touch()
    line = repr(lora.LoraFile(path, 0.75))
    assert len(line) < 100
    assert line.endswith("x 0.75)")
