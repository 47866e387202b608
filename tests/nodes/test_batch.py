"""The Batch node: rows of a manifest and of lists, what fails, a second run, a stop."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.cpu

SMALL = {"steps": 1, "size": "square 128x128 (tiny: trained)"}
ROW = {"image": "me.png", "audio": "talk.wav", "size": "32x32", "steps": 1}


@pytest.fixture
def write(pack, tmp_path, make):
    """Write a manifest into ComfyUI's input folder, with an image and 8 frames of sound."""
    import soundfile

    folder = tmp_path / "input"
    folder.mkdir()
    image = (make.portrait()[0] * 255).to(torch.uint8).numpy()
    Image.fromarray(image).save(folder / "me.png")
    audio = make.audio()
    soundfile.write(folder / "talk.wav", audio["waveform"][0, 0].numpy(), audio["sample_rate"])

    def write(*rows, name="list.jsonl"):
        (folder / name).write_text("\n".join(map(json.dumps, rows)))
        return name

    return write


@pytest.fixture
def run(pack, used_model):
    """Run the node; return the paths of its videos and its report by row."""

    def run(model=used_model, hidden=None, **given):
        output = pack.run("Batch", hidden, model=model, **given)
        videos, report = output.args
        paths = [Path(video.get_stream_source()) for video in videos]
        shown = [each["filename"] for each in output.ui.as_dict()["images"]]
        assert shown == [path.name for path in paths]
        return paths, report.splitlines()

    return run


def test_rows_of_a_manifest_become_videos_and_a_bad_one_stops_no_other(run, write, tmp_path):
    name = write(
        ROW | {"output": "sub/{row}.mp4", "seed": 3},
        ROW | {"image": "gone.png"},
        ROW | {"output": "../../outside.mp4"},
        ROW | {"output": "last.mp4", "memory": "offload:1"},
    )
    paths, report = run(manifest=name, folder="many")
    folder = tmp_path / "output" / "many"
    assert paths == [folder / "sub" / "1.mp4", folder / "last.mp4"]
    assert [measure_video(path).num_frames for path in paths] == [8, 8]
    assert report[0] == "4 rows: 2 done, 2 failed"
    assert report[1].startswith("columns memory: FlashTalk Model Loader chooses this")
    assert report[2].startswith("row 1: done, 1.mp4, 8 frames in ")
    assert "row 2: failed: image" in report[3]
    assert "outside ComfyUI's output folder" in report[4]
    found = (folder / "list.jsonl.results.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["status"] for line in found) == ["done"] * 2 + ["failed"] * 2

    times = [path.stat().st_mtime_ns for path in paths]
    paths, report = run(manifest=name, folder="many")
    assert [path.stat().st_mtime_ns for path in paths] == times
    assert report[2] == "row 1: done before, 1.mp4"
    paths[0].unlink()
    assert run(manifest=str(tmp_path / "input" / name), folder="many")[0] == paths


def test_what_the_node_says_holds_for_rows_without_their_own(run, write, tmp_path):
    row = {"image": "me.png", "audio": "talk.wav", "size": "32x32"}
    name = write(row | {"output": "{seed}.mp4"}, row | {"output": "{seed}.mp4", "seed": 9})
    paths, _ = run(manifest=name, seed=5, steps=1)
    assert [path.name for path in paths] == ["5.mp4", "9.mp4"]
    assert all(path.parent == tmp_path / "output" / "FlashTalk" / "batch" for path in paths)


def test_lists_become_pairs(run, make, pack):
    images = [make.portrait(32, 32), make.portrait(32, 48, batch=2)]
    sounds = [make.audio(0.08), make.audio(0.04), make.audio(0.12)]
    paths, report = run(image=images, audio=sounds, lists=("image", "audio"), **SMALL)
    assert [path.name for path in paths] == [f"row-{row}_00001_.mp4" for row in (1, 2, 3)]
    assert [measure_video(path).num_frames for path in paths] == [2, 1, 3]
    assert report[0] == "3 rows: 3 done, 0 failed"


def test_one_image_goes_with_all_sounds_and_a_bad_sound_stops_no_other(run, make):
    sounds = [make.audio(0.04), make.audio(0.2, batch=2)]
    paths, report = run(image=make.portrait(), audio=sounds, lists=("audio",), **SMALL)
    assert len(paths) == 1
    assert report[2].startswith("row 2: failed: audio batch of 2: one audio clip makes one video")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "0 images and 0 sounds: connect both, or name a manifest"),
        ({"manifest": "none.csv"}, "input 'manifest': manifest"),
        ({"image": [torch.rand(1, 32, 32, 3)] * 2, "audio": 3}, "2 images and 3 sounds: use as"),
        ({"image": [torch.rand(1, 32, 32, 3)], "audio": 1, "folder": "../x"}, "input 'folder'"),
    ],
)
def test_what_cannot_be_a_batch_is_refused(pack, model, make, given, says):
    given = dict(given)
    if "audio" in given:
        given["audio"] = [make.audio()] * given["audio"]
    assert says in pack.error("Batch", model=model, lists=("image", "audio"), **given)


def test_without_any_video_the_first_reason_is_the_error(pack, model, write):
    name = write(ROW | {"audio": "gone.wav"}, ROW | {"steps": 0})
    message = pack.error("Batch", model=model, manifest=name)
    assert "none of 2 rows is done; row 1: failed: audio" in message


def test_a_stop_ends_the_batch_and_keeps_what_is_done(pack, run, write, monkeypatch):
    management = pack["comfy.model_management"]
    job = pack["nodes.graph.batch_job"]
    begun = []

    def began(self, row):
        begun.append(row.row.number)
        if len(begun) == 2:
            management.interrupt_current_processing()

    monkeypatch.setattr(job._Batch, "started", began)
    name = write(*(ROW | {"output": f"{row}.mp4"} for row in range(3)))
    with pytest.raises(management.InterruptProcessingException):
        run(manifest=name)
    assert begun == ["1", "2"]
    monkeypatch.undo()
    paths, report = run(manifest=name)
    assert report[1] == "row 1: done before, 0.mp4"
    assert len(paths) == 3


def test_a_row_that_runs_out_of_memory_stops_no_other(pack, run, write, monkeypatch):
    job = pack["nodes.graph.batch_job"]
    render_file = job.render_file
    rows = []

    def fail_once(*args, **kwargs):
        rows.append(args)
        if len(rows) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return render_file(*args, **kwargs)

    monkeypatch.setattr(job, "render_file", fail_once)
    paths, report = run(manifest=write(*(ROW | {"output": f"{row}.mp4"} for row in range(2))))
    assert [path.name for path in paths] == ["1.mp4"]
    assert "row 1: failed: out of memory (CUDA out of memory)" in report[1]


def test_a_manifest_is_looked_at_each_time_and_lists_once(pack, run, make):
    node = pack.nodes["FlashTalk_Batch"]
    assert node.fingerprint_inputs(manifest=["a.csv"]) != node.fingerprint_inputs(
        manifest=["a.csv"]
    )
    io = pack["comfy_api.latest"].io
    running = io.locked_copy(node, io.HiddenValues(unique_id="4"))
    before = running.fingerprint_inputs(manifest=[""])
    assert running.fingerprint_inputs(manifest=[""]) == before
    (path,), _ = run(
        hidden={"unique_id": "4"}, image=make.portrait(), audio=make.audio(0.04), **SMALL
    )
    assert running.fingerprint_inputs(manifest=[""]) == before
    path.unlink()
    assert running.fingerprint_inputs(manifest=[""]) != before


def stop_after(pack, monkeypatch, num_frames):
    """Let the user stop as soon as more frames than so many are written."""
    management, batch = pack["comfy.model_management"], pack["nodes.graph.batch_job"]._Batch
    counts, frames = [], batch.frames

    def count(self, row, number):
        frames(self, row, number)
        counts.append(number)
        if sum(counts) > num_frames:
            management.interrupt_current_processing()

    monkeypatch.setattr(batch, "frames", count)
    return management.InterruptProcessingException


@pytest.mark.parametrize("is_manifest", [False, True])
def test_a_row_goes_on_where_an_interrupted_run_was(
    pack, run, write, make, monkeypatch, tmp_path, caplog, is_manifest
):
    if is_manifest:
        given = {"manifest": write(ROW | {"audio": "long.wav"})}
        import soundfile

        audio = make.audio(1.6)
        sound = audio["waveform"][0, 0].numpy()
        soundfile.write(tmp_path / "input" / "long.wav", sound, audio["sample_rate"])
    else:
        given = {"image": make.portrait(), "audio": make.audio(1.6)} | SMALL
    with pytest.raises(stop_after(pack, monkeypatch, 28)):
        run(**given)
    folder = tmp_path / "output" / "FlashTalk" / "batch"
    (partial,) = folder.glob("*.partial.mp4")
    monkeypatch.undo()
    caplog.set_level("INFO")
    (path,), report = run(**given)
    assert path.name == partial.name.replace(".partial", "")
    assert measure_video(path).num_frames == 40
    assert list(folder.glob("*.partial*")) == []
    line = next(line for line in report if line.startswith("row 1: done"))
    assert "frames in" in line
    assert line.endswith("; the first 28 are of an interrupted run")
    assert ", 12 of 40 frames in " in line
    assert "row 1 goes on after frame 28 of 40 of an interrupted run" in caplog.text
