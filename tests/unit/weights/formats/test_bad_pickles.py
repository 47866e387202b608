"""Pickled files of every damage: one line, nothing executed, no library's error let through."""

import io
import re
import zipfile

import pytest
import torch

from flashtalk_core.errors import FlashTalkError, NoMemoryError, WeightsError
from flashtalk_core.weights.formats.tensor_file import open_tensor_file

pytestmark = pytest.mark.cpu


def saved(table, **options):
    written = io.BytesIO()
    torch.save(table, written, **options)
    return written.getvalue()


def refusal(path, content, kind=WeightsError):
    path.write_bytes(content)
    with pytest.raises(kind) as caught:
        open_tensor_file(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < len(str(path)) + 400
    assert not re.search(r"\(\S*\);", message), "a code, or the name of a library's error"
    return message


@pytest.mark.parametrize(
    "ops",
    [
        b"\x80\x02R.",  # a call of nothing
        b"\x80\x02.",
        b"\x80\x02\x86.",  # a tuple of nothing
        b"\x80\x02J\x01",  # a number that is cut
        b"\x80\x02h\x07.",  # what was never put away
        b"\x80\x02}(K\x01u.",  # an odd number of keys and values
        b"\x80\x02]K\x05a0.",
        b"\x80\x02X\xff\xff\xff\xff",
        b"\x80\x02}U\x01aK\x01sb.",
        b"",
        b"PK\x03\x04",
    ],
    ids=repr,
)
def test_broken_pickles(tmp_path, ops):
    refusal(tmp_path / "a.pth", ops)


@pytest.mark.filterwarnings("ignore:Validating")  # torch 2.14, of sparse tensors
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "table",
    [
        {1: torch.zeros(2)},
        {None: torch.zeros(2)},
        {("a", "b"): torch.zeros(2)},
        {"a": {"b": torch.zeros(2)}},
        {"a": 5},
        [torch.zeros(2)],
        torch.zeros(2),
        {"a": torch.zeros(2).to_sparse()},
        {"a": torch.zeros(2, device="meta")},
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_table_of_tensors(tmp_path, table, zipped):
    content = saved(table, _use_new_zipfile_serialization=zipped)
    assert "no flat table" in refusal(tmp_path / "a.pth", content)


def test_a_container_that_unpacks_to_more_than_it_is(tmp_path):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as container:
        container.writestr("a/data.pkl", bytes(10_000_000))
    assert "it unpacks to 10000000 bytes" in refusal(tmp_path / "a.pth", written.getvalue())


@pytest.mark.parametrize("start", range(0, 600, 37))
@pytest.mark.parametrize("zipped", [True, False])
def test_bytes_that_are_damaged_anywhere(tmp_path, start, zipped):
    content = bytearray(saved({"a": torch.ones(3)}, _use_new_zipfile_serialization=zipped))
    content[start : start + 9] = b"\xff" * 9
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    try:
        names, said = list(open_tensor_file(path).infos), ""
    except FlashTalkError as error:
        names, said = [], str(error)
    assert set(map(type, names)) <= {str}
    assert said.isprintable()


def test_a_file_that_asks_for_more_memory_than_there_is(tmp_path, monkeypatch):
    def load(*_args, **_options):
        raise RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: 12 bytes")

    monkeypatch.setattr(torch, "load", load)
    message = refusal(tmp_path / "a.pth", saved({"a": torch.ones(3)}), NoMemoryError)
    assert "takes more memory than is free" in message
    assert "close other programs" in message


def test_a_file_that_is_gone(tmp_path):
    with pytest.raises(WeightsError, match="No such file"):
        open_tensor_file(tmp_path / "gone.bin")
    (tmp_path / "folder.bin").mkdir()
    with pytest.raises(WeightsError, match="Is a directory"):
        open_tensor_file(tmp_path / "folder.bin")
