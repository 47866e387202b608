"""Pickled tables under the endings that ComfyUI lists, and as training programs save them."""

import pytest
import torch

from flashtalk_core.weights.formats.tensor_file import open_tensor_file

pytestmark = pytest.mark.cpu

TABLE = {"a.weight": torch.ones(2, 3), "b.bias": torch.zeros(4)}


@pytest.mark.parametrize("ending", ["pth", "pt", "bin", "ckpt", "pkl", "CKPT"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("content", [TABLE, {"state_dict": TABLE, "epoch": 3}])
def test_a_table_is_read(tmp_path, ending, zipped, content):
    path = tmp_path / f"a.{ending}"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    file = open_tensor_file(path)
    assert {name: info.shape for name, info in file.infos.items()} == {
        "a.weight": (2, 3),
        "b.bias": (4,),
    }
    with file.reading() as read:
        assert all(read(name).equal(value) for name, value in TABLE.items())
