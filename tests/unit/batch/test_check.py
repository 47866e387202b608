"""Checks of rows before any weights are read: what is wrong with one is that one's fault."""

from pathlib import Path

import pytest

from flashtalk_core.batch.check import check_rows
from flashtalk_core.batch.rows import BatchRow, CheckedRow, FaultyRow, RowFacts
from flashtalk_core.engine.spec import FramesSpec, RenderSpec

pytestmark = pytest.mark.cpu


def row(output, number=1, audio="a.wav", spec=None):
    files = {"image": output.parent / "a.png", "audio": output.parent / audio}
    return BatchRow(number=str(number), output=output, spec=spec or RenderSpec(), crf=18, **files)


def check(*rows, look=lambda _: RowFacts("x", 5)):
    return list(check_rows(rows, look))


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (f"{'a' * 300}.mp4", "file name too long"),
        (f"{'a' * 235}.mp4", "file name too long"),  # names on the way to it are longer
        (f"new/{'a' * 300}/b.mp4", "file name too long"),
        (f"new/deep/{'a' * 300}.mp4", "file name too long"),
        ("z\0/q.mp4", "null"),
        ("z\0.mp4", "null"),
        ("z\ud800/q.mp4", "surrogate"),
        ("new/a.partial.mp4", "leave '.partial' out of the name"),
        ("file/q.mp4", "its folder cannot be made"),
        ("file/new/q.mp4", "its folder cannot be made"),
        ("a.mov", "use a name in .mp4"),
        ("new/a.mov", "use a name in .mp4"),
    ],
)
def test_a_name_that_no_disk_takes_is_the_fault_of_its_row(tmp_path, output, says):
    (tmp_path / "file").touch()
    first, second, third = check(
        row(tmp_path / "ok.mp4"), row(tmp_path / output), row(tmp_path / "new" / "deep" / "x.mp4")
    )
    assert isinstance(first, CheckedRow)
    assert isinstance(second, FaultyRow)
    assert isinstance(third, CheckedRow)
    assert says in str(second.error)
    assert "output" in str(second.error)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("odd")])
def test_an_error_of_the_system_is_the_fault_of_its_row(tmp_path, error):
    def look(found):
        if found.number == "1":
            raise error
        return RowFacts("x", 5)

    first, second = check(row(tmp_path / "1.mp4"), row(tmp_path / "2.mp4", 2), look=look)
    assert str(first.error).endswith("; check the names and the values of the row")
    assert isinstance(second, CheckedRow)


def test_each_folder_is_looked_through_as_often_for_many_rows_as_for_one(tmp_path, monkeypatch):
    scans = []
    for name in ("iterdir", "glob"):
        scan = getattr(Path, name)
        monkeypatch.setattr(
            Path, name, lambda *args, scan=scan: (scans.append(args), scan(*args))[1]
        )
    check(row(tmp_path / "0.mp4"))
    once = len(scans)
    scans.clear()
    found = check(*(row(tmp_path / f"{number}.mp4", number) for number in range(20)))
    assert {type(each) for each in found} == {CheckedRow}
    assert len(scans) == once


@pytest.mark.parametrize("number", [0, 1])
def test_a_source_that_would_be_replaced_is_found_in_every_row(tmp_path, number):
    for name in ("1.partial.older-2.mp4", "2.partial.mp4"):
        (tmp_path / name).touch()
    rows = [
        row(tmp_path / "1.mp4", audio="1.partial.older-2.mp4"),
        row(tmp_path / "2.mp4", audio="2.partial.mp4"),
    ]
    found = check(rows[number], rows[1 - number])
    assert all("would be overwritten" in str(each.error) for each in found)


@pytest.mark.parametrize("name", ["soundtrack", "upscale"])
def test_no_row_replaces_its_soundtrack_or_the_network_of_its_frames(tmp_path, name):
    source = tmp_path / "1.mp4"
    source.touch()
    file = str(source)
    specs = {
        "soundtrack": RenderSpec(soundtrack=file),
        "upscale": RenderSpec(frames=FramesSpec(upscale=file)),
    }
    (found,) = check(row(source, spec=specs[name]))
    assert "would be overwritten" in str(found.error)


def test_what_another_program_has_in_the_place_of_a_file_is_found_in_every_row(tmp_path):
    (tmp_path / "2.partial.mp4").mkdir()
    first, second = check(row(tmp_path / "1.mp4"), row(tmp_path / "2.mp4"))
    assert isinstance(first, CheckedRow)
    assert "is no plain file" in str(second.error)


def test_a_folder_that_cannot_be_listed_may_be_written_to(tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert [type(each) for each in check(row(tmp_path / "1.mp4"))] == [CheckedRow]
