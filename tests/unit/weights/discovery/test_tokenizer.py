"""umT5's tokenizer is found wherever people have it; of other models it is refused."""

import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from flashtalk_core.errors import WeightsError
from flashtalk_core.models.encoders.tokenizer import Tokenizer
from flashtalk_core.weights.discovery.choice import choose_model_files
from flashtalk_core.weights.discovery.layout import find_model_files, list_parts, resolve_model
from flashtalk_core.weights.load import open_checkpoint
from tests.large_files import write_large_model

pytestmark = pytest.mark.cpu

TINY = find_model_files(resolve_model("tiny"))
WRAPPER = "custom_nodes/ComfyUI-WanVideoWrapper/configs/T5_tokenizer"


@pytest.fixture
def folder(tmp_path):
    """A folder of text encoders with one of the wrapper's name, which has no tokenizer."""
    path = tmp_path / "text_encoders" / "umt5-xxl-enc-bf16.safetensors"
    path.parent.mkdir()
    shutil.copy(TINY.text, path)
    return path.parent


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(TINY.tokenizer, path)
    return path


def repackaged(path, prefix=""):
    """Write a text encoder that contains its tokenizer, as Comfy-Org's do."""
    values = torch.frombuffer(bytearray(TINY.tokenizer.read_bytes()), dtype=torch.uint8)
    save_file(load_file(TINY.text) | {f"{prefix}spiece_model": values}, path)
    return path


def model(*folders, **chosen):
    chosen |= {"dit": TINY.dit[0], "vae": TINY.vae, "clip": TINY.clip, "audio": TINY.audio}
    return choose_model_files({"text": folders[:1], "tokenizer": folders}, chosen)


def tokens_of(files):
    return open_checkpoint(files).tokenizer("talking")[0]


EXPECTED = tokens_of(TINY)


@pytest.mark.parametrize(
    "name", ["spiece.model", "google/umt5-xxl/spiece.model", "umt5-xxl/spiece.model"]
)
def test_next_to_the_text_encoder(folder, name):
    path = put(folder / name)
    files = model(folder)
    assert files.tokenizer == path
    assert tokens_of(files).equal(EXPECTED)


def test_of_another_pack(folder, tmp_path):
    path = put(tmp_path / WRAPPER / "spiece.model")
    assert model(folder, path.parent).tokenizer == path


def test_in_another_text_encoder(folder):
    other = repackaged(folder / "umt5_xxl_fp16.safetensors")
    files = model(folder, text=folder / "umt5-xxl-enc-bf16.safetensors")
    assert files.tokenizer == other
    assert tokens_of(files).equal(EXPECTED)


def test_inside_the_text_encoder_with_a_prefix(folder):
    (folder / "umt5-xxl-enc-bf16.safetensors").unlink()
    repackaged(folder / "umt5_xxl_fp16.sft", "text_encoders.")
    files = model(folder)
    assert files.tokenizer is None
    assert tokens_of(files).equal(EXPECTED)


def test_a_damaged_file_next_to_it_is_passed_over(folder):
    (folder / "umt5_xxl_a.safetensors").write_bytes(b"<html>")
    other = repackaged(folder / "umt5_xxl_b.safetensors")
    assert model(folder, text=folder / "umt5-xxl-enc-bf16.safetensors").tokenizer == other


def test_where_there_is_none_one_line_says_where_to_get_it(folder):
    put(folder / "t5-v1_1-xxl" / "spiece.model")  # of another model
    with pytest.raises(WeightsError) as caught:
        model(folder)
    message = str(caught.value)
    assert message.startswith(f"tokenizer not found in {folder}: ")
    assert "https://huggingface.co/google/umt5-xxl/resolve/main/spiece.model, 4.5 MB" in message
    assert "or take umt5_xxl_fp8_e4m3fn_scaled.safetensors" in message
    assert "\n" not in message


def of_size(num_tokens):
    """Return a tokenizer with so many tokens: a list in its format grows when one is appended."""
    model = TINY.tokenizer.read_bytes()
    found = Tokenizer(model).vocab_size
    texts = [f"\u2581{number}".encode() for number in range(found, num_tokens)]
    pieces = (bytes([0x0A, len(text)]) + text + b"\x15" + struct.pack("<f", -9) for text in texts)
    return model + b"".join(bytes([0x0A, len(piece)]) + piece for piece in pieces)


def test_the_tokenizer_of_t5_is_refused(tmp_path):
    """It has the same name, and would be wrong without a word."""
    write_large_model(tmp_path, TINY.tokenizer)
    path = tmp_path / "text_encoders" / "spiece.model"
    path.write_bytes(of_size(32_000))
    with pytest.raises(WeightsError, match="32000 tokens, which is T5's, but the text encoder kno"):
        open_checkpoint(find_model_files(tmp_path))


def test_the_report_of_a_folder_says_what_the_tokenizer_waits_for(tmp_path):
    (tmp_path / "empty").mkdir()
    rows = {each.part: each.problem for each in list_parts(tmp_path / "empty")}
    assert rows["text"].startswith("text encoder not found in ")
    assert rows["tokenizer"] == "needs a text encoder first"
