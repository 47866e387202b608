"""GGUF files are read in the layouts that converters write, and damaged ones are refused."""

import os
import struct
import time

import pytest
import torch

from flashtalk_core.errors import WeightsError
from flashtalk_core.weights.formats.tensor_file import check_header, open_tensor_file
from tests.gguf_files import write_file

pytestmark = pytest.mark.cpu


def tensors():
    torch.manual_seed(0)
    return {
        "blocks.0.q.weight": torch.randn(6, 64),
        "blocks.0.q.bias": torch.randn(6),
        "blocks.0.modulation": torch.randn(1, 6, 8).bfloat16(),
        "patch_embedding.weight": torch.randn(6, 4, 1, 2, 2).half(),
        "odd.weight": torch.randn(3, 48),
    }


def read_all(path):
    file = open_tensor_file(path)
    with file.reading() as read:
        return {
            name: info.form.packing.unpacked((read(name),), info.dtype).reshape(info.shape)
            if info.form
            else read(name)
            for name, info in file.infos.items()
        }


def test_shapes_and_numbers_come_back(tmp_path):
    expected = tensors()
    path = write_file(tmp_path / "a.gguf", expected, "Q8_0")
    infos = open_tensor_file(path).infos
    assert {name: info.shape for name, info in infos.items()} == {
        name: tuple(tensor.shape) for name, tensor in expected.items()
    }
    assert [name for name, info in infos.items() if info.form] == ["blocks.0.q.weight"]
    found = read_all(path)
    for name, tensor in expected.items():
        if name == "blocks.0.q.weight":
            assert float((found[name] - tensor).norm() / tensor.norm()) < 0.006
        else:
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)
    assert check_header(path).keys() == expected.keys()


def test_the_gguf_package_reads_what_is_written(tmp_path):
    gguf = pytest.importorskip("gguf")
    expected = tensors()
    path = write_file(tmp_path / "a.gguf", expected, "Q8_0")
    reader = gguf.GGUFReader(path)
    assert reader.get_field("general.architecture").contents() == "wan"
    ours = read_all(path)
    for tensor in reader.tensors:
        theirs = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        assert torch.equal(theirs.reshape(ours[tensor.name].shape), ours[tensor.name].float())


@pytest.mark.parametrize("kind", ["Q8_0", "Q5_1", "Q4_0", "BF16", "F16"])
def test_files_of_the_gguf_package_are_read(tmp_path, kind):
    """As ComfyUI's converter writes them: five axes become two, and a list says what they were."""
    gguf = pytest.importorskip("gguf")
    number = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "wan")
    expected = {}
    for name, tensor in tensors().items():
        values = tensor.float().numpy()
        if values.ndim == 5:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(values.shape))
            writer.add_tensor(name, values.reshape(-1, 32))
        elif values.ndim == 2 and values.shape[1] % 32 == 0:
            values = gguf.quantize(values, number)
            writer.add_tensor(name, values, raw_dtype=number)
            values = gguf.dequantize(values, number)
        else:
            writer.add_tensor(name, values)
        expected[name] = torch.from_numpy(values).reshape(tensor.shape)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file,
                  writer.write_tensors_to_file, writer.close):  # fmt: skip
        write()
    found = read_all(tmp_path / "a.gguf")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name].float(), tensor), name


def test_blocks_of_a_tensor_that_had_another_shape_are_unpacked_whole(tmp_path):
    """The rows of the shape it had are no whole number of blocks: it cannot be kept."""
    values = {"comfy.gguf.orig_shape.a": (4, 16)}
    path = write_file(tmp_path / "a.gguf", {"a": torch.ones(2, 32)}, "Q8_0", values=values)
    (info,) = open_tensor_file(path).infos.values()
    assert (info.shape, info.form.is_by_row) == ((4, 16), False)
    assert read_all(path)["a"].allclose(torch.ones(4, 16), atol=1e-3)


def header(*, magic=b"GGUF", version=3, values=b"", num_values=0, entries=()):
    found = magic + struct.pack("<IQQ", version, len(entries), num_values) + values
    for name, shape, kind, offset in entries:
        found += struct.pack("<Q", len(name)) + name.encode()
        found += struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        found += struct.pack("<IQ", kind, offset)
    return found


def text(content):
    return struct.pack("<Q", len(content)) + content


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 bytes that are no GGUF file (its header is cut short)"),
        (b"<!DOCTYPE html>", "(a web page in place of the file)"),
        (b"PK\x03\x04", "(it does not begin as one)"),
        (header(version=1), "(version 1 of the format, need 2 or 3)"),
        (header(num_values=2**40), "values, at most"),
        (header()[:12], "(its header is cut short)"),
        (header(num_values=1, values=text(b"a") + b"\x63\0\0\0"), "a value of the unknown type 99"),
        (
            header(num_values=1, values=text(b"a") + struct.pack("<IIQ", 9, 9, 1)),
            "a list of the unknown type 9",
        ),
        (
            header(num_values=1, values=text(b"a") + struct.pack("<IIQ", 9, 8, 2**62)),
            "values of a list, at most",
        ),
        (
            header(num_values=2, values=2 * (text(b"a") + struct.pack("<IB", 0, 0))),
            "(a is there twice)",
        ),
        (
            header(num_values=1, values=text(b"general.alignment") + struct.pack("<II", 4, 0)),
            "data aligned to 0 bytes",
        ),
        (header(entries=[("a", (2**40, 2**40), 0, 0)]), "tensor a has shape"),
        (header(entries=[("a", (1,) * 9, 0, 0)]), "tensor a has 9 axes"),
        (header(entries=[("a", (4,), 0, 0)] * 2), "(a is there twice)"),
        (header(entries=[("a", (32,), 16, 0)]), "tensor a is of type IQ2_XXS, which is not read"),
        (header(entries=[("a", (32,), 99, 0)]), "tensor a is of type number 99"),
        (header(entries=[("a", (33,), 8, 0)]), "is no whole number of blocks of Q8_0"),
        (header(entries=[("a", (4,), 0, 0), ("b", (4,), 0, 8)]), "its tensors overlap"),
        (header(entries=[("a", (400,), 0, 0)]), "cut short, 57 of 1664 bytes; resume"),
    ],
)
def test_damaged_files_are_refused_with_what_is_wrong(tmp_path, content, says):
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        open_tensor_file(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def renamed_inside(path, name, time_ns):
    """Give the only tensor of a file another name, in its place, and the file this time."""
    content = path.read_bytes()
    (known,) = open_tensor_file(path).infos
    path.write_bytes(content.replace(text(known.encode()), text(name.encode())))
    os.utime(path, ns=(time_ns, time_ns))
    return path


def names_in(path):
    return set(open_tensor_file(path).infos)


def test_a_header_is_parsed_once_as_long_as_its_file_is_the_same(tmp_path):
    """A change that neither size nor time tells is not seen: nothing was parsed anew."""
    path = renamed_inside(write_file(tmp_path / "a.gguf", {"x": torch.ones(2)}), "a", 10**18)
    assert names_in(path) == {"a"}
    renamed_inside(path, "b", 10**18)
    assert names_in(path) == {"a"}
    os.utime(path, ns=(10**18 + 1, 10**18 + 1))
    assert names_in(path) == {"b"}


def test_a_header_of_a_file_that_was_just_written_is_parsed_anew(tmp_path):
    now = time.time_ns()
    path = renamed_inside(write_file(tmp_path / "a.gguf", {"x": torch.ones(2)}), "a", now)
    assert names_in(path) == {"a"}
    assert names_in(renamed_inside(path, "b", now)) == {"b"}


def test_few_headers_are_kept(tmp_path):
    path = renamed_inside(write_file(tmp_path / "a.gguf", {"x": torch.ones(2)}), "a", 10**18)
    assert names_in(path) == {"a"}
    renamed_inside(path, "b", 10**18)
    for number in range(4):
        other = write_file(tmp_path / f"{number}.gguf", {"x": torch.ones(2)})
        assert names_in(renamed_inside(other, "y", 10**18)) == {"y"}
    assert names_in(path) == {"b"}


def test_a_file_that_changed_is_not_read(tmp_path):
    path = write_file(tmp_path / "a.gguf", tensors(), "Q8_0")
    file = open_tensor_file(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WeightsError, match="changed since it was checked"), file.reading():
        pass
