"""Batches in a real ComfyUI: the node, a list in the usual graph, and the command from outside."""

import json
import shutil

import pytest

from flashtalk_core.cli.main import main

from .graphs import CHAIN, DURATION_S, PORTRAIT, SIZE_PX, SPEECH, add_node
from .videos import measure

pytestmark = pytest.mark.comfyui

ROW = {"image": PORTRAIT, "audio": SPEECH, "duration": 0.4, "size": f"{SIZE_PX}x{SIZE_PX}"}


def batch_graph(**given):
    kind, inputs = CHAIN["loader"]
    graph = {"loader": {"class_type": kind, "inputs": dict(inputs)}}
    settings = {"manifest": "", "prompt": "", "seed": 0, "steps": 1, "folder": "batch"}
    rest = {"size": "the model's own", "fit": "crop", "quality": 18, "model": ["loader", 0]}
    return add_node(graph, "batch", "FlashTalk_Batch", **settings | rest | given)


def test_the_node_renders_a_manifest_and_goes_on_after_a_bad_row(comfy, base):
    rows = [ROW | {"output": "{row}.mp4", "seed": seed} for seed in (1, 2)]
    rows.insert(1, ROW | {"image": "gone.png"})
    (base / "input" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    graph = batch_graph(manifest="rows.jsonl", folder="batch/one")
    outcome = comfy.render(graph)
    saved = outcome.outputs["batch"]["images"]
    assert [each["filename"] for each in saved] == ["1.mp4", "3.mp4"]
    paths = [comfy.output / each["subfolder"] / each["filename"] for each in saved]
    assert [measure(path).num_frames for path in paths] == [10, 10]
    times = [path.stat().st_mtime_ns for path in paths]
    again = comfy.render(graph)
    assert "batch" in again.executed
    assert [path.stat().st_mtime_ns for path in paths] == times


def test_videos_of_the_node_are_a_list_for_native_nodes(comfy):
    graph = batch_graph(
        image=["rebatch", 0], audio=["trim", 0], size="square 128x128 (tiny: trained)"
    )
    graph = add_node(graph, "image", "LoadImage", image=PORTRAIT)
    graph = add_node(graph, "two", "RepeatImageBatch", image=["image", 0], amount=2)
    graph = add_node(graph, "rebatch", "RebatchImages", images=["two", 0], batch_size=1)
    graph = add_node(graph, "audio", "LoadAudio", audio=SPEECH)
    graph = add_node(
        graph, "trim", "TrimAudioDuration", audio=["audio", 0], start_index=0.0, duration=0.2
    )
    save = {"filename_prefix": "batch/saved", "format": "auto", "codec": "auto"}
    outcome = comfy.render(add_node(graph, "save", "SaveVideo", video=["batch", 0], **save))
    assert len(outcome.outputs["batch"]["images"]) == 2
    assert len(list((comfy.output / "batch").glob("saved*.mp4"))) == 2


def test_a_list_in_the_usual_graph_makes_a_video_of_each(comfy, graph):
    prompt = graph(speech__duration=0.2, reference__image=["rebatch", 0])
    prompt = add_node(prompt, "two", "RepeatImageBatch", image=["image", 0], amount=2)
    prompt = add_node(prompt, "rebatch", "RebatchImages", images=["two", 0], batch_size=1)
    saved = comfy.render(prompt).outputs["preview"]["images"]
    assert len({each["filename"] for each in saved}) == 2


def test_the_command_renders_rows_on_a_server(comfy, base, server, graph, tmp_path):
    for name in (PORTRAIT, SPEECH):
        shutil.copyfile(base / "input" / name, tmp_path / name)
    workflow = tmp_path / "workflow.json"
    workflow.write_text(json.dumps(graph()))
    rows = [ROW, ROW | {"audio": "gone.wav"}, ROW | {"output": "b.mp4", "steps": 2}]
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    command = ["comfy-batch", str(manifest), "--workflow", str(workflow), "--server", server.url]
    assert main(command) == 1
    names = [tmp_path / "speech.mp4", tmp_path / "b.mp4"]
    assert [measure(path).num_frames for path in names] == [10, 10]
    lines = (tmp_path / "rows.jsonl.results.jsonl").read_text().splitlines()
    found = {each["row"]: each["status"] for each in map(json.loads, lines)}
    assert found == {"1": "done", "2": "failed", "3": "done"}
    assert ROW["duration"] < DURATION_S, "the row's own length counts"
