"""Renders with a transformer in few bits."""

import av
import numpy as np
import pytest

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


def test_what_stays_packed_renders_the_same_video(render, folders, tmp_path):
    """On a CPU it stays packed by itself; ``offload`` finds room for all of it unpacked."""
    videos = []
    for memory in ("auto", "offload"):
        output = tmp_path / f"{memory}.mp4"
        assert render("--model", folders[1], "--memory", memory, output=output).code == 0
        videos.append(output.read_bytes())
    assert videos[0] == videos[1]
