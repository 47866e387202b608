"""``comfy-batch`` on a stand-in for ComfyUI's routes."""

import json
import wave
from pathlib import Path

import pytest
from PIL import Image

from flashtalk_core.cli.main import main
from flashtalk_core.comfy_client import worker

pytestmark = pytest.mark.cpu

WORKFLOW = Path(__file__).parents[3] / "workflows" / "api" / "1_first_talking_head.json"


@pytest.fixture
def batch(tmp_path, comfyui, capsys, monkeypatch):
    """Run a batch of rows; return the code, results by row, and what was said."""
    monkeypatch.setattr(worker, "_POLL_S", 0.01)
    Image.new("RGB", (40, 48), "red").save(tmp_path / "me.png")
    for name in ("one.wav", "two.wav"):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(bytes([1, 2]) * 3200)

    def run(*rows, options=(), server=comfyui.address):
        manifest = tmp_path / "m.jsonl"
        manifest.write_text("\n".join(json.dumps({"image": "me.png"} | row) for row in rows))
        command = ["comfy-batch", str(manifest), "--workflow", str(WORKFLOW), "--server", server]
        code = main([*command, *options])
        path = tmp_path / "m.jsonl.results.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return code, {each["row"]: each for each in map(json.loads, lines)}, capsys.readouterr()

    return run


def test_each_row_is_a_prompt_and_its_video_is_fetched(batch, comfyui, tmp_path):
    code, results, _ = batch(
        {"audio": "one.wav", "seed": 4}, {"audio": "*.wav", "output": "{row}.mp4"}
    )
    assert code == 0
    assert [each["status"] for each in results.values()] == ["done"] * 3
    assert results["1"]["frames"] == 5
    videos = [tmp_path / results[row]["output"] for row in ("1", "2.1", "2.2")]
    assert [video.read_text() for video in videos] == [f"video v{each}.mp4" for each in range(3)]
    assert [prompt["6"]["inputs"]["seed"] for prompt in comfyui.prompts] == [4, 0, 0]
    # Files with the same contents are the same file there.
    assert sorted(Path(name).suffix for name in comfyui.uploads) == [".png", ".wav"]
    assert batch({"audio": "one.wav", "seed": 4})[0] == 0
    assert len(comfyui.prompts) == 3
    batch({"audio": "one.wav", "seed": 5})
    assert len(comfyui.prompts) == 4


def test_a_row_that_fails_stops_no_other(batch, comfyui, tmp_path):
    comfyui.outcomes = ["error", "refused", "lost", "done"]
    rows = [{"audio": "one.wav", "output": f"{row}.mp4"} for row in range(4)]
    code, results, _ = batch(*rows, {"audio": "gone.wav"})
    assert code == 1
    errors = [results[row]["error"] for row in "12345"]
    assert errors[0] == "ComfyUI, FlashTalk_StreamPreview: no room"
    assert (
        "/prompt refused: Prompt outputs failed validation; FlashTalk_Reference: image" in errors[1]
    )
    assert "dropped the prompt" in errors[2]
    assert errors[3] is None
    assert "gone.wav: no such file" in errors[4]
    assert [path.name for path in sorted(tmp_path.glob("*.mp4"))] == ["3.mp4"]
    comfyui.outcomes = []
    assert batch(*rows)[0] == 0
    assert len(comfyui.prompts) == 7


def test_a_stop_takes_the_prompt_out_of_comfyui(batch, comfyui, monkeypatch):
    comfyui.outcomes = ["runs"]

    def stop(self, prompt_id):
        raise KeyboardInterrupt

    monkeypatch.setattr(worker.ComfyServer, "is_queued", stop)
    code, results, said = batch({"audio": "one.wav"}, {"audio": "two.wav"})
    assert (code, comfyui.cancelled) == (130, ["id-0"])
    assert {row: each["status"] for row, each in results.items()} == {"1": "stopped"}
    assert "the same command goes on" in said.err


def test_a_dry_run_asks_comfyui_nothing(batch, comfyui):
    code, results, said = batch(
        {"audio": "one.wav"}, options=["--dry-run"], server="http://x.invalid"
    )
    assert (code, results, comfyui.prompts) == (0, {}, [])
    assert said.out.splitlines()[-1] == "1 row: 1 to render"


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("localhost:8188", "server 'localhost:8188': no address; write http://127.0.0.1:8188"),
        ("http://127.0.0.1:9", "is not answered, "),
    ],
)
def test_a_server_that_is_none_is_an_error_of_the_input(batch, server, says):
    code, results, said = batch({"audio": "one.wav"}, server=server)
    assert (code, results) == (2, {})
    assert says in said.err


def test_a_column_that_the_workflow_decides_is_refused(batch, comfyui):
    code, results, _ = batch({"audio": "one.wav", "memory": "offload"})
    assert code == 1
    assert "column 'memory': no such option" in results["1"]["error"]
    assert comfyui.prompts == []
