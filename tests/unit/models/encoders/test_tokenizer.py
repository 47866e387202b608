"""Tokenizer: cleaning, cutting, padding, and files that are none."""

import io
import logging
import sys

import ftfy
import pytest
import sentencepiece
import torch

from flashtalk_core.errors import WeightsError
from flashtalk_core.models.encoders.tokenizer import Tokenizer
from flashtalk_core.packages import missing_package

pytestmark = pytest.mark.cpu


def train(**options):
    written = io.BytesIO()
    settings = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1} | options
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a person is talking", "tom & jerry < static"] * 5),
        model_writer=written,
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        **settings,
    )
    return written.getvalue()


@pytest.fixture(scope="module")
def model():
    return train()


def test_text_ends_with_the_end_of_sequence_and_is_padded_with_zeros(model):
    ids, mask = Tokenizer(model)("a person", 20)
    length = int(mask.sum())
    assert ids.shape == mask.shape == (1, 20)
    assert ids.dtype == mask.dtype == torch.int64
    assert ids[0, length - 1] == 1
    assert not ids[0, length:].any()
    assert mask[0, :length].all()


def test_long_text_is_cut_and_keeps_its_end_of_sequence(model):
    whole, _ = Tokenizer(model)("a person is talking", 64)
    ids, mask = Tokenizer(model)("a person is talking", 4)
    assert ids[0].tolist() == [*whole[0, :3].tolist(), 1]
    assert mask.sum() == 4


def test_empty_text_is_the_end_of_sequence_alone(model):
    ids, mask = Tokenizer(model)("", 4)
    assert ids[0].tolist() == [1, 0, 0, 0]
    assert mask[0].tolist() == [1, 0, 0, 0]


def test_entities_are_resolved_twice_and_white_space_collapsed(model):
    assert Tokenizer(model).clean(" tom &amp;amp;\n\t jerry ") == "tom & jerry"


def test_file_and_tensor_give_the_same_tokenizer(model, tmp_path):
    path = tmp_path / "spiece.model"
    path.write_bytes(model)
    tensor = torch.frombuffer(bytearray(model), dtype=torch.uint8)
    first, second = Tokenizer.from_file(path), Tokenizer.from_tensor(tensor)
    assert first("talking")[0].equal(second("talking")[0])
    assert first.vocab_size == second.vocab_size > 3


def test_other_bytes_are_refused_in_one_line():
    with pytest.raises(WeightsError, match=r"spiece\.model: 9 bytes that are no sentencepiece"):
        Tokenizer(b"not a one", "spiece.model")


def test_vocabulary_without_an_end_is_refused():
    with pytest.raises(WeightsError, match="no end-of-sequence"):
        Tokenizer(train(eos_id=-1, unk_id=1))


def test_absent_repair_library_is_reported_once(model, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with caplog.at_level(logging.WARNING):
        tokenizer = Tokenizer(model)
        tokenizer("talking")
        assert not caplog.records  # nothing to repair in it
        tokenizer("talking \u2026")
        tokenizer("static &amp;")
    assert [record.message for record in caplog.records if "ftfy" in record.message] == [
        f"wrongly decoded characters in prompts stay as they are: {missing_package('ftfy')}"
    ]


def test_nothing_is_left_out_that_the_repair_library_would_change(model):
    tokenizer = Tokenizer(model)
    for text in [
        *map(chr, range(0x20, 0x7F)),
        "a <b> \"c\" 'd' -- e... ",
        "sch\u00c3\u00b6n",
        "\x1b[1m\x00",
    ]:
        assert tokenizer.clean(text) == " ".join(ftfy.fix_text(text).split())


@pytest.mark.parametrize("start", range(0, 900, 61))
def test_a_damaged_model_is_refused_or_encodes(model, start):
    damaged = bytearray(model)
    damaged[start : start + 5] = b"\xff" * 5
    try:
        ids, _mask = Tokenizer(bytes(damaged), "spiece.model")("a person \U0001f600", 16)
        said = "spiece.model: "
    except WeightsError as error:
        ids, said = torch.zeros(1, 16), str(error)
    assert ids.shape == (1, 16)
    assert said.startswith("spiece.model: ")
    assert said.isprintable()


def test_whatever_the_library_raises_is_one_line(model, monkeypatch):
    tokenizer = Tokenizer(model, "spiece.model")

    def encode(_self, _text):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr(sentencepiece.SentencePieceProcessor, "EncodeAsIds", encode)
    with pytest.raises(WeightsError, match=r"^spiece.model: .*cannot encode a prompt"):
        tokenizer("a person", 8)
    with pytest.raises(WeightsError, match="no sentencepiece model"):
        Tokenizer(model, "spiece.model")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(WeightsError, match="no tokenizer that can be read"):
        Tokenizer.from_file(tmp_path / "gone.model")
    with pytest.raises(WeightsError, match="no tokenizer that can be read"):
        Tokenizer.from_file(tmp_path)


@pytest.mark.parametrize("values", [torch.zeros(3), torch.zeros(3, dtype=torch.bfloat16)])
def test_a_tensor_of_something_else(values):
    with pytest.raises(WeightsError, match=r"its tokenizer is 3 values of torch\."):
        Tokenizer.from_tensor(values, "text.safetensors")
