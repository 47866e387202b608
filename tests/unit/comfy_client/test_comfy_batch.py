"""``comfy-batch`` on a stand-in for ComfyUI's routes."""

import json
import tracemalloc
import wave
from pathlib import Path

import pytest
from PIL import Image

from flashtalk_core.cli.main import main
from flashtalk_core.comfy_client import connection, worker
from flashtalk_core.comfy_client.connection import ServerError
from flashtalk_core.comfy_client.server import ComfyServer
from flashtalk_core.comfy_client.upload import content_name, file_form

from .conftest import video

pytestmark = pytest.mark.cpu

WORKFLOW = Path(__file__).parents[3] / "workflows" / "api" / "1_first_talking_head.json"


@pytest.fixture
def batch(tmp_path, comfyui, capsys, monkeypatch):
    """Run a batch of rows; return the code, results by row, and what was said."""
    monkeypatch.setattr(worker, "_POLL_S", 0.01)
    monkeypatch.setattr(worker, "_FIRST_PAUSE_S", 0.01)
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
    assert [path.read_bytes() for path in videos] == [video(f"v{each}.mp4") for each in range(3)]
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
        ("http://127.0.0.1:x", "no address; write http://127.0.0.1:8188"),
        ("http://[::1", "no address; write http://127.0.0.1:8188"),
        ("http://127.0.0.1:9", "is not answered, "),
        ("http://127.0.0.1:9/a b", "is not answered, "),
        ("http://a..b", "is not answered, "),
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


@pytest.mark.parametrize("fault", ["cut", "hang up", b"nonsense\r\n\r\n"])
def test_a_download_that_is_cut_off_is_fetched_again(batch, comfyui, tmp_path, fault):
    comfyui.faults = [("/view", fault)] * 2
    code, results, _ = batch({"audio": "one.wav"})
    assert (code, results["1"]["status"], comfyui.faults) == (0, "done", [])
    assert (tmp_path / "one.mp4").read_bytes() == video("v0.mp4")
    assert len(comfyui.prompts) == 1


def test_a_video_that_never_comes_whole_is_none(batch, comfyui, tmp_path):
    (tmp_path / "one.mp4").write_bytes(b"an older one")
    comfyui.faults = [("/view", "cut")] * 6
    code, results, _ = batch({"audio": "one.wav"})
    assert (code, results["1"]["status"]) == (1, "failed")
    size = len(video("v0.mp4"))
    assert f"/view was cut off after {size // 2} of {size} bytes" in results["1"]["error"]
    assert (tmp_path / "one.mp4").read_bytes() == b"an older one"
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize(
    "content", [b"", video("v0.mp4")[:-1], video("v0.mp4")[:20], b"\0" * 40, b"<html>"]
)
def test_what_is_no_whole_mp4_is_not_put_in_place(batch, comfyui, tmp_path, content):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    comfyui.faults = [("/view", head + content)]
    code, results, _ = batch({"audio": "one.wav"})
    assert code == 1
    assert f"'v0.mp4', {len(content)} bytes, is no whole MP4 file" in results["1"]["error"]
    assert list(tmp_path.glob("*.mp4")) == []


@pytest.mark.parametrize("fault", ["hang up", "cut", b"HTTP/1.1 twohundred\r\n\r\n", b"\0\1"])
def test_a_question_without_an_answer_is_asked_again(batch, comfyui, fault):
    comfyui.faults = [("/history", fault), ("/history", fault)]
    code, results, _ = batch({"audio": "one.wav"})
    assert (code, comfyui.faults, comfyui.cancelled) == (0, [], [])
    assert results["1"]["status"] == "done"


def test_a_server_that_is_gone_fails_its_row_alone(batch, comfyui):
    comfyui.faults = [("/history", "hang up")] * 6
    code, results, _ = batch({"audio": "one.wav"}, {"audio": "two.wav"})
    assert code == 1
    assert "/history/id-0 is not answered" in results["1"]["error"]
    assert results["2"]["status"] == "done"


@pytest.mark.parametrize(
    ("route", "answer"),
    [
        ("/upload", {}),
        ("/upload", []),
        ("/upload", {"name": 3, "subfolder": "x"}),
        ("/prompt", {"id": "x"}),
        ("/prompt", {"prompt_id": 7}),
        ("/history", {"id-0": 3}),
        ("/history", {"id-0": {}}),
        ("/history", {"id-0": {"status": 3, "outputs": [1]}}),
        ("/history", {"id-0": {"status": {"status_str": "error", "messages": [3, ["a"]]}}}),
        ("/history", {"id-0": {"outputs": {"8": 3, "9": {"images": [{"filename": 3}]}}}}),
        ("/history", [[1]]),
    ],
)
def test_an_answer_of_another_form_is_the_error_of_its_row(batch, comfyui, route, answer):
    body = json.dumps(answer)
    raw = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    comfyui.faults = [(route, raw)]
    code, results, _ = batch({"audio": "one.wav"}, {"audio": "two.wav"})
    assert code == 1
    assert results["1"]["status"] == "failed"
    assert "unexpected" not in results["1"]["error"]
    assert results["2"]["status"] == "done"


@pytest.mark.parametrize("body", [b'{"node_errors": [1]}', b'{"node_errors": {"1": 3}}', b"[]"])
def test_a_refusal_of_another_form_is_told(batch, comfyui, body):
    head = f"HTTP/1.1 400 Bad\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    comfyui.faults = [("/prompt", head + body)]
    assert "/prompt refused: status 400" in batch({"audio": "one.wav"})[1]["1"]["error"]


def test_a_file_that_is_too_large_names_the_limit_of_comfyui(batch, limited, tmp_path):
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(16_000 * 2 * 60))
    code, results, _ = batch({"audio": "long.wav"}, {"audio": "one.wav"}, server=limited.address)
    assert code == 1
    assert "long.wav: 1.9 MB, is larger than ComfyUI takes" in results["1"]["error"]
    assert "start ComfyUI with --max-upload-size 3 (MB" in results["1"]["error"]
    assert results["2"]["status"] == "done"


def test_files_of_any_length_take_little_memory(tmp_path):
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(96 * 2**20)
    body = file_form({}, "x", path, path.stat().st_size)
    tracemalloc.start()
    assert sum(map(len, body.blocks)) == body.num_bytes
    content_name(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


def test_answers_without_an_end_are_given_up(comfyui, monkeypatch):
    monkeypatch.setattr(connection, "_MOST_BYTES", 2**20)
    raw = b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 2**22
    comfyui.faults = [("/system_stats", raw)]
    with pytest.raises(ServerError, match="answered with more than 1048576 bytes"):
        ComfyServer(comfyui.address).check()
