"""A text encoder in llama.cpp's layout, whose vocabulary is in the header."""

import re
from dataclasses import replace

import pytest
import torch
from sentencepiece import SentencePieceProcessor

from flashtalk_core.errors import WeightsError
from flashtalk_core.models.encoders.text import TextEncoder, encode_prompt
from flashtalk_core.models.encoders.tokenizer import Tokenizer
from flashtalk_core.weights.discovery.layout import find_model_files
from flashtalk_core.weights.formats.gguf.fields import read_fields
from flashtalk_core.weights.formats.gguf.vocabulary import sentencepiece_model
from flashtalk_core.weights.formats.scaled_fp8 import TOKENIZER_TENSOR
from flashtalk_core.weights.formats.tensor_file import check_header, open_tensor_file
from flashtalk_core.weights.load import open_checkpoint
from tests.gguf_files import write_file
from tests.unit.weights.conftest import golden_weights, train_tokenizer

pytestmark = pytest.mark.cpu

# Wan's names, which the golden file has, and llama.cpp's.
NAMES = (
    (r"token_embedding", "token_embd"),
    (r"norm", "enc.output_norm"),
    (r"blocks\.(\d+)\.norm1", r"enc.blk.\1.attn_norm"),
    (r"blocks\.(\d+)\.attn\.([qkvo])", r"enc.blk.\1.attn_\2"),
    (r"blocks\.(\d+)\.pos_embedding\.embedding", r"enc.blk.\1.attn_rel_b"),
    (r"blocks\.(\d+)\.norm2", r"enc.blk.\1.ffn_norm"),
    (r"blocks\.(\d+)\.ffn\.gate\.0", r"enc.blk.\1.ffn_gate"),
    (r"blocks\.(\d+)\.ffn\.fc1", r"enc.blk.\1.ffn_up"),
    (r"blocks\.(\d+)\.ffn\.fc2", r"enc.blk.\1.ffn_down"),
)
TEXTS = (
    "a person is talking",
    "  The   BACKGROUND is static\u2026 \uff21\uff22 \u00e9 \U0001f600",
    "",
)


def llama_name(name):
    stem = name.removesuffix(".weight")
    for pattern, made in NAMES:
        if match := re.fullmatch(pattern, stem):
            return match.expand(made) + ".weight"
    raise AssertionError(name)


def fields(message):
    """Yield number and content of the fields of a message, as far as they are bytes."""

    def varint(start):
        value, shift = 0, 0
        while True:
            byte = message[start]
            value |= (byte & 127) << shift
            start, shift = start + 1, shift + 7
            if byte < 128:
                return value, start

    start = 0
    while start < len(message):
        tag, start = varint(start)
        if tag & 7 == 2:
            length, start = varint(start)
            yield tag >> 3, message[start : start + length]
            start += length
        elif tag & 7 == 5:
            start += 4
        else:
            _, start = varint(start)


@pytest.fixture(scope="module")
def model():
    return train_tokenizer()


@pytest.fixture(scope="module")
def values(model):
    """The header's values as llama.cpp's converter makes them of a ``spiece.model``."""
    pieces = SentencePieceProcessor(model_proto=model)
    kinds = (("is_unknown", 2), ("is_control", 3), ("is_unused", 5), ("is_byte", 6))
    count = pieces.vocab_size()
    normalizer = dict(fields(dict(fields(model))[3]))
    return {
        "general.architecture": "t5encoder",
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.tokens": [pieces.id_to_piece(n) for n in range(count)],
        "tokenizer.ggml.scores": [pieces.get_score(n) for n in range(count)],
        "tokenizer.ggml.token_type": [
            next((kind for name, kind in kinds if getattr(pieces, name)(n)), 1)
            for n in range(count)
        ],
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
        "tokenizer.ggml.precompiled_charsmap": normalizer[2],
        "tokenizer.ggml.eos_token_id": pieces.eos_id(),
        "tokenizer.ggml.padding_token_id": pieces.pad_id(),
        "tokenizer.ggml.unknown_token_id": pieces.unk_id(),
    }


@pytest.fixture(scope="module")
def path(values, tmp_path_factory):
    tensors = {llama_name(name): value for name, value in golden_weights("umt5").items()}
    folder = tmp_path_factory.mktemp("gguf")
    return write_file(folder / "umt5-xxl-encoder-Q8_0.gguf", tensors, "Q8_0", values=values)


def test_prompts_become_the_tokens_of_the_original_model(path, model):
    file = open_tensor_file(path)
    assert TOKENIZER_TENSOR in check_header(path)
    with file.reading() as read:
        found = Tokenizer.from_tensor(read(TOKENIZER_TENSOR))
    expected = Tokenizer(model)
    assert (found.vocab_size, found.eos_id) == (expected.vocab_size, expected.eos_id)
    for text in TEXTS:
        for one, other in zip(found(text, 40), expected(text, 40), strict=True):
            assert torch.equal(one, other)


def test_the_encoder_needs_no_other_file(path, authors_folder, models):
    files = replace(find_model_files(authors_folder), text=path, tokenizer=None)
    checkpoint = open_checkpoint(files)
    encoder = checkpoint.load(TextEncoder, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        found = encode_prompt(encoder, checkpoint.tokenizer, "a person is talking")
        expected = encode_prompt(models.text_encoder, models.tokenizer, "a person is talking")
    assert float((found - expected).norm() / expected.norm()) < 0.02


@pytest.mark.parametrize("name", ["scores", "token_type"])
@pytest.mark.parametrize("wrong", [None, (1.0,)])
def test_an_incomplete_vocabulary_is_refused(values, name, wrong):
    read = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    with pytest.raises(ValueError, match=f"tokens has {name}"):
        sentencepiece_model(read | {f"tokenizer.ggml.{name}": wrong})


def test_a_vocabulary_that_is_none_is_reported(values, path, tmp_path):
    tokens = ["a"] * len(values["tokenizer.ggml.tokens"])
    changed = values | {"tokenizer.ggml.tokens": tokens}
    write_file(tmp_path / "a.gguf", {}, values=changed)
    file = open_tensor_file(tmp_path / "a.gguf")
    with file.reading() as read, pytest.raises(WeightsError, match="no sentencepiece model"):
        Tokenizer.from_tensor(read(TOKENIZER_TENSOR), file.label)


def test_lists_of_a_header_come_back(tmp_path):
    values = {"a": ["x", "\xe9"], "b": [0.5, -1.0], "c": b"\x00\xff", "d": True, "e": [1, -2]}
    write_file(tmp_path / "a.gguf", {}, values=values)
    with (tmp_path / "a.gguf").open("rb") as file:
        found = read_fields(file).values
    assert found["a"] == ("x", "\xe9")
    assert (found["b"], found["c"], found["d"], found["e"]) == (
        (0.5, -1),
        b"\x00\xff",
        True,
        (1, -2),
    )
