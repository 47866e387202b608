"""Folders, wildcards and names of videos."""

from pathlib import Path

import pytest

from flashtalk_core.batch.expansion import expand
from flashtalk_core.batch.manifest import ManifestRow
from flashtalk_core.batch.planning import RowFolders, plan_rows
from flashtalk_core.batch.rows import FaultyRow
from flashtalk_core.engine.spec import RenderSpec

pytestmark = pytest.mark.cpu


@pytest.fixture
def folder(tmp_path):
    portraits = ("anna.png", "ben.jpg", "p/a.png", "p/b.PNG", "p/note.txt")
    sounds = ("s/a.wav", "s/b.flac", "s/c.mp4", "s/.d.wav", "deep/x/a.wav", "[1].wav")
    for name in (*portraits, *sounds, "odd/x.wav", "odd/y.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def plan(folder):
    """Plan rows; return number, image, audio and output, or the error, of each video."""

    def plan(*rows, output=None, **defaults):
        planned = plan_rows(
            [ManifestRow(number, values) for number, values in enumerate(rows, 1)],
            lambda values: (RenderSpec(portrait=values["image"]), 18),
            RowFolders(manifest=folder, output=folder if output is None else output),
            defaults,
        )
        return [shown(row) for row in planned]

    def shown(row):
        if isinstance(row, FaultyRow):
            return row.number, str(row.error)
        assert row.spec.portrait == str(row.image)
        files = (row.image, row.audio, row.output)
        return row.number, *(path.relative_to(folder).as_posix() for path in files)

    return plan


def test_a_row_of_files_is_one_video_named_after_its_audio(plan):
    assert plan({"image": "anna.png", "audio": "s/a.wav"}) == [
        ("1", "anna.png", "s/a.wav", "a.mp4")
    ]


def test_a_folder_of_audio_becomes_a_row_each_without_videos_and_hidden_files(plan):
    assert plan({"image": "anna.png", "audio": "s"}) == [
        ("1.1", "anna.png", "s/a.wav", "a.mp4"),
        ("1.2", "anna.png", "s/b.flac", "b.mp4"),
    ]


def test_several_images_of_one_recording_are_named_by_both(plan):
    assert plan({"image": "p", "audio": "s/a.wav"}) == [
        ("1.1", "p/a.png", "s/a.wav", "a_a.mp4"),
        ("1.2", "p/b.PNG", "s/a.wav", "b_a.mp4"),
    ]


@pytest.mark.parametrize("images", ["p", "p/*.[pP]*"])
def test_two_folders_are_pairs_by_stem(plan, images):
    assert plan({"image": images, "audio": "s/*.[wf]*", "output": "{row}-{image}.mp4"}) == [
        ("1.1", "p/a.png", "s/a.wav", "1.1-a.mp4"),
        ("1.2", "p/b.PNG", "s/b.flac", "1.2-b.mp4"),
    ]


def test_a_wildcard_takes_what_it_matches(plan):
    assert plan({"image": "anna.png", "audio": "s/c.*"}) == [("1", "anna.png", "s/c.mp4", "c.mp4")]
    assert plan({"image": "anna.png", "audio": "**/x/*.wav"}) == [
        ("1", "anna.png", "deep/x/a.wav", "a.mp4")
    ]


def test_a_file_with_brackets_in_its_name_is_that_file(plan):
    assert plan({"image": "anna.png", "audio": "[1].wav"})[0][2] == "[1].wav"


def test_brackets_in_the_folder_of_the_manifest_are_no_wildcard(tmp_path):
    folder = tmp_path / "[set1]"
    for name in ("me.png", "ben/a.wav", "[ben]/b.wav"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()
    for audio, found in (
        ("ben/*.wav", "a.wav"),
        ("[ab]en/*.wav", "a.wav"),
        ("[ben]/*.wav", "b.wav"),
        ("../[set1]/ben/*.wav", "a.wav"),
        (str(folder / "ben" / "*.wav"), "a.wav"),
    ):
        (row,) = expand(1, {"image": "me.png", "audio": audio}, folder)
        assert row.audio.name == found


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"image": "p", "audio": "odd"}, "2 images and 2 recordings: 'x.wav' has no partner"),
        ({"image": "p", "audio": "**/*.wav"}, "a single recording in the row"),
        ({"image": "anna.png"}, "audio: the row has none; name a file in it, or use --audio"),
        ({"image": "s", "audio": "s/a.wav"}, "image s: no image files in this folder"),
        ({"image": "x*.png", "audio": "s/a.wav"}, "image x*.png: no file matches"),
        ({"image": 3, "audio": "s/a.wav"}, "image 3: no name of a file"),
        ({"image": "anna.png", "audio": "s/a.wav", "output": "{name}.mp4"},
         "no field {name}; use {row}, {image}, {audio}, {seed}"),
        ({"image": "anna.png", "audio": "s/a.wav", "output": "{seed}.mp4"}, "sets no seed"),
        ({"image": "anna.png", "audio": "s/a.wav", "output": "~nosuchuser/x.mp4"},
         "output ~nosuchuser/x.mp4: no home folder is known for this user"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_says_why(plan, row, says):
    ((number, error),) = plan(row)
    assert number == "1"
    assert says in error


def test_a_row_whose_speakers_have_their_own_audio_needs_no_other(folder):
    row = {"image": "anna.png", "speaker": "left:s/a.wav\nright:s/b.flac"}
    for more, notes in (
        ({}, ()),
        ({"audio": "s/*"}, ("audio s/*: not used; each speaker has audio of their own",)),
        ({"audio": "none.wav"}, ("audio none.wav: not used; each speaker has audio of their own",)),
    ):
        (found,) = expand(1, row | more, folder)
        assert (found.number, found.audio, found.notes) == ("1", folder / "s/a.wav", notes)
    shared = row | {"speaker": ["left:s/a.wav", "right"], "audio": "s"}
    assert [each.audio.name for each in expand(1, shared, folder)] == ["a.wav", "b.flac"]


def test_rows_have_what_holds_for_all(plan):
    found = plan({"audio": "s/a.wav"}, {"image": "ben.jpg", "audio": "s/b.flac"}, image="anna.png")
    assert [row[1] for row in found] == ["anna.png", "ben.jpg"]


def test_a_seed_is_in_the_name(plan):
    rows = (
        {"image": "anna.png", "audio": "s/a.wav", "seed": seed, "output": "{audio}{seed}.mp4"}
        for seed in (1, "2")
    )
    assert [row[3] for row in plan(*rows)] == ["a1.mp4", "a2.mp4"]


def test_two_rows_that_write_one_file_are_refused(plan):
    row = {"image": "anna.png", "audio": "s/a.wav"}
    first, second, third = plan(row, row | {"output": "./A.mp4"}, row | {"output": "b.mp4"})
    assert first[3] == "a.mp4"
    assert "row 1 writes it, too" in second[1]
    assert third[3] == "b.mp4"


def test_videos_go_into_the_folder_for_them_unless_their_place_is_named(plan, folder):
    rows = [
        {"image": "anna.png", "audio": "s/a.wav", "output": output}
        for output in ("x.mp4", str(folder / "y.mp4"))
    ]
    assert [row[3] for row in plan(*rows, output=Path(folder) / "out")] == ["out/x.mp4", "y.mp4"]
