"""Headers of safetensors files that cannot be: each is refused in one line, before any tensor."""

import json

import pytest

from flashtalk_core.errors import WeightsError
from flashtalk_core.weights.formats.tensor_file import open_tensor_file

pytestmark = pytest.mark.cpu


def entry(**changes):
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


def stored(header, data=bytes(8)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        open_tensor_file(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < len(str(path)) + 400
    assert "download" in message
    return message


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"[" * 9000 + b"]" * 9000, "nested more than"),
        (b'{"a":' * 9000 + b"1" + b"}" * 9000, "nested more than"),
        ([], "no object"),
        ({"a": 5}, "tensor a has no type"),
        ({"a": entry(dtype=5)}, "tensor a has no type"),
        ({"a": entry(shape=None)}, "tensor a has shape None"),
        ({"a": entry(shape=["2"])}, "tensor a has shape ['2']"),
        ({"a": entry(shape=[2.0])}, "tensor a has shape [2.0]"),
        ({"a": entry(shape=[True, 2])}, "tensor a has shape [True, 2]"),
        ({"a": entry(shape=[-2])}, "tensor a has shape [-2]"),
        ({"a": entry(shape=[2**40, 2**40])}, "tensor a has shape [1099511627776, 10995"),
        ({"a": entry(data_offsets=["0", "8"])}, "tensor a lies at ['0', '8']"),
        ({"a": entry(data_offsets=[0, None])}, "tensor a lies at [0, None]"),
        ({"a": entry(data_offsets=[8, 0])}, "tensor a lies at [8, 0]"),
        ({"a": entry(data_offsets=[0])}, "tensor a lies at [0]"),
        ({"a": entry(data_offsets=[0, 10**400])}, "tensor a lies at"),
        ({"a": entry(data_offsets=[0, 4])}, "tensor a of shape [2] has 4 bytes"),
        ({"a": entry(), "b": entry()}, "tensor b lies in the place of another one"),
        (b'{"a":1,"a":2}', "key 'a' is there twice"),
        (b'{"\xff":1}', "no safetensors file"),
        ({"n" * 100_000: 5}, "has no type"),
        ({"a": entry(dtype="F3")}, "not readable"),
        ({"\ud800": entry(dtype="I7")}, "download"),
        ({"__metadata__": {"a": 5}, "b": entry()}, "not readable"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_header_that_cannot_be(tmp_path, header, said):
    assert said in refusal(tmp_path / "a.safetensors", stored(header))


@pytest.mark.parametrize("length", [0, 1, 17_000_000, 2**63, 2**64 - 1])
def test_header_without_or_beyond_size(tmp_path, length):
    content = length.to_bytes(8, "little") + bytes(100)
    assert f"header of {length} bytes" in refusal(tmp_path / "a.safetensors", content)


def test_bytes_behind_the_last_tensor(tmp_path):
    assert "not readable" in refusal(tmp_path / "a.safetensors", stored({"a": entry()}, bytes(9)))


def test_a_name_is_shown_without_its_escapes(tmp_path):
    header = {"\x1b]0;TITLE\x07\u202e\nname": entry(shape=None)}
    message = refusal(tmp_path / "a.safetensors", stored(header))
    assert "TITLE" in message


def test_a_file_that_grows_or_shrinks_after_the_check(tmp_path):
    """A mapped file that has become shorter would end the process."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(stored({"a": entry()}))
    file = open_tensor_file(path)
    with file.reading() as read:
        assert read("a").tolist() == [0, 0]
    path.write_bytes(stored({"a": entry()})[:-4])
    with pytest.raises(WeightsError, match="changed since it was checked"), file.reading():
        pass
