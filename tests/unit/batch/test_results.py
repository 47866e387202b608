"""The file of results: what a killed program leaves, and when a row counts as done."""

import json
import os

import pytest

from flashtalk_core.batch.results import ResultFile, RowResult, results_path
from flashtalk_core.errors import OutputError

pytestmark = pytest.mark.cpu


def result(output="a.mp4", status="done", **given):
    return RowResult(**{"row": "1", "status": status, "output": output} | given)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.csv.results.jsonl"


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_results_lie_beside_the_manifest(tmp_path, path):
    assert results_path(tmp_path / "m.csv") == path


def test_each_result_is_in_the_file_at_once_and_found_later(path, tmp_path):
    results = ResultFile(path)
    with results.opened():
        results.add(result(error="ä"))
        assert lines(path)[0]["error"] == "ä"
        results.add(result("b.mp4", "failed"))
        assert len(lines(path)) == 2
    assert ResultFile(path).find(tmp_path / "b.mp4").status == "failed"
    assert ResultFile(path).find(tmp_path / "c.mp4") is None


@pytest.mark.parametrize("torn", [b'{"row": "2", "sta', b"\0\0\0", b'{"row": "2"}'])
def test_half_a_line_is_dropped_and_what_follows_is_whole(path, tmp_path, torn):
    with (results := ResultFile(path)).opened():
        results.add(result())
    with path.open("ab") as file:
        file.write(torn)
    with (results := ResultFile(path)).opened():
        results.add(result("b.mp4"))
    assert [line["output"] for line in lines(path)] == ["a.mp4", "b.mp4"]


def test_a_line_that_lacks_only_its_end_counts(path, tmp_path):
    with (results := ResultFile(path)).opened():
        results.add(result())
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert ResultFile(path).find(tmp_path / "a.mp4").status == "done"


def test_the_next_run_leaves_the_newest_result_of_each_row(path):
    with (results := ResultFile(path)).opened():
        results.add(result(status="failed"))
        results.add(result(None, "failed", row="7"))
        results.add(result("b.mp4"))
        results.add(result())
        assert len(lines(path)) == 4
    with ResultFile(path).opened():
        assert [(line["output"], line["status"]) for line in lines(path)] == [
            ("b.mp4", "done"),
            ("a.mp4", "done"),
        ]


def test_another_batch_that_ended_meanwhile_loses_nothing(path, tmp_path):
    waiting = ResultFile(path)  # its batch checks rows for an hour before it begins
    with (other := ResultFile(path)).opened():
        other.add(result(fingerprint="x"))
        other.add(result("b.mp4"))
    with waiting.opened():
        waiting.add(result("c.mp4"))
    assert [line["output"] for line in lines(path)] == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_row_that_fails_its_check_stays_done_once_it_is_as_before(path, tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"1234")
    done = result(fingerprint="x", num_bytes=4, seconds=7.5)
    for _ in range(2):  # twice: the second run writes the file anew
        with (results := ResultFile(path)).opened():
            results.add(done)
            results.add(result(status="failed", error="portrait: no such file"))
            assert not results.is_done("y", video)
    with (results := ResultFile(path)).opened():
        assert [line["status"] for line in lines(path)] == ["done", "failed"]
        assert results.find(video).status == "failed"
        assert results.is_done("x", video)
        results.confirm(video)
        assert results.find(video) == done
    with ResultFile(path).opened():
        assert [(line["status"], line["seconds"]) for line in lines(path)] == [("done", 7.5)]


def test_a_name_that_is_no_text_is_found_again(path, tmp_path):
    name = os.fsdecode(b"\xff\xe4.mp4")
    with (results := ResultFile(path)).opened():
        results.add(result(results.shown(tmp_path / name)))
    with ResultFile(path).opened() as results:
        assert results.find(tmp_path / name).status == "done"


def test_an_error_of_another_file_is_not_told_as_of_the_results(path):
    with pytest.raises(FileNotFoundError, match="portrait"), ResultFile(path).opened():
        raise FileNotFoundError(2, "No such file", "portrait.png")


def test_names_of_later_versions_are_ignored(path, tmp_path):
    path.write_text('{"row": "1", "status": "done", "output": "a.mp4", "speakers": 2}\n')
    assert ResultFile(path).find(tmp_path / "a.mp4").status == "done"


def test_a_folder_that_was_moved_keeps_its_results(path, tmp_path):
    with (results := ResultFile(path)).opened():
        results.add(result(results.shown(tmp_path / "out" / "a.mp4")))
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    assert ResultFile(moved / path.name).find(moved / "out" / "a.mp4") is not None


def test_a_video_elsewhere_is_named_in_full(path):
    assert ResultFile(path).shown(path.parents[1] / "a.mp4") == str(path.parents[1] / "a.mp4")


@pytest.mark.parametrize(
    ("status", "mark", "size", "is_done"),
    [
        ("done", "x", 4, True),
        ("done", "y", 4, False),
        ("done", "x", 5, False),
        ("failed", "x", 4, False),
    ],
)
def test_a_row_is_done_if_settings_and_video_are_those_of_its_result(
    tmp_path, status, mark, size, is_done
):
    video = tmp_path / "a.mp4"
    found = result(status=status, fingerprint=mark, num_bytes=size)
    assert not found.is_of("x", video)
    video.write_bytes(b"1234")
    assert found.is_of("x", video) is is_done


def test_two_batches_of_one_manifest_do_not_mix(path):
    with (
        ResultFile(path).opened(),
        pytest.raises(OutputError, match="another render is writing it"),
        ResultFile(path).opened(),
    ):
        pass
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    with (
        pytest.raises(OutputError, match="cannot be written"),
        ResultFile(tmp_path / "none" / "r.jsonl").opened(),
    ):
        pass
