"""Renders with a transformer in few bits."""

import av
import numpy as np
import pytest

from flashtalk_core.engine.resolve import LocalHost, resolve
from flashtalk_core.engine.spec import ModelSpec, RenderSpec, Speaker
from flashtalk_core.placement import block_sizes
from tests.gguf_files import write_file
from tests.unit.weights.conftest import golden_weights, write_authors_layout

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A toy checkpoint with its shards, and the same with one GGUF file in their place."""
    found = []
    for name in ("dense", "packed"):
        folder = write_authors_layout(tmp_path_factory.mktemp(name))
        if name == "packed":
            for shard in folder.glob("diffusion_pytorch_model*"):
                shard.unlink()
            write_file(folder / "FlashTalk-Q8_0.gguf", golden_weights("dit"), "Q8_0")
        found.append(folder)
    return found


def frames_of(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).astype(np.float64)


def test_a_gguf_file_renders_the_video_of_the_dense_file(render, folders, tmp_path):
    videos = []
    for number, folder in enumerate(folders):
        output = tmp_path / f"{number}.mp4"
        assert render("--model", folder, "--crf", 5, output=output).code == 0
        videos.append(frames_of(output))
    error = np.sqrt(np.square(videos[0] - videos[1]).mean())
    # 2.2 of 255 was measured, in a picture of noise whose levels have a deviation of 39.
    assert videos[0].std() > 30
    assert 0.5 < error < 3.5


def test_what_stays_packed_renders_the_same_video(render, folders, tmp_path, monkeypatch):
    videos = []
    for number, least in enumerate((10**9, 0)):
        monkeypatch.setattr(block_sizes, "_MIN_NUMBERS", least)
        output = tmp_path / f"{number}.mp4"
        assert render("--model", folders[1], output=output).code == 0
        videos.append(output.read_bytes())
    assert videos[0] == videos[1]


def test_toys_stay_packed_where_large_models_do(folders, portrait, speech, monkeypatch):
    """What the test above relies on."""
    spec = RenderSpec(
        model=ModelSpec(name=str(folders[1])),
        portrait=str(portrait),
        speakers=(Speaker(audio=str(speech)),),
        size_px=(32, 32),
    )
    for least in (10**9, 0):
        monkeypatch.setattr(block_sizes, "_MIN_NUMBERS", least)
        assert resolve(spec, LocalHost()).placement.memory.packed == (least == 0)
