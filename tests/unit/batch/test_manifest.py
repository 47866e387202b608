"""What a manifest may look like, and what is said about one that makes no sense."""

import pytest

from flashtalk_core.batch.manifest import read_manifest
from flashtalk_core.errors import InvalidInputError

pytestmark = pytest.mark.cpu

OPTIONS = {"prompt", "seed", "mouth_strength", "steps"}
ROWS = [{"image": "a.png", "audio": "a.wav", "prompt": "A; b, c"}, {"image": "b.png", "seed": "3"}]


@pytest.fixture
def read(tmp_path):
    def read(content, name="m.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_manifest(path, OPTIONS)

    return read


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_of_all_programs_are_read(read, delimiter, start, end):
    lines = [
        ["Image", "audio", "prompt", "--seed"],
        ["a.png", " a.wav ", '"A; b, c"', ""],
        [],
        ["b.png", "", "", "3"],
    ]
    text = end.join(delimiter.join(cells) for cells in lines)
    assert [row.values for row in read(start + text)] == ROWS


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_line_that_names_the_delimiter_is_read(read, delimiter):
    table = f'sep={delimiter}\r\naudio{delimiter}prompt\r\na.wav{delimiter}"A; b, c"\r\n'
    assert [row.values for row in read(table)] == [{"audio": "a.wav", "prompt": "A; b, c"}]


def test_a_table_of_one_column_is_read(read):
    assert [row.values for row in read("audio\na.wav\n")] == [{"audio": "a.wav"}]


def test_a_cell_may_hold_lines(read):
    (row,) = read('audio,prompt\na.wav,"one\ntwo"\n')
    assert row.values["prompt"] == "one\ntwo"


def test_json_lines_keep_their_types(read):
    rows = read(
        '{"audio": "a.wav", "mouth-strength": 1.5, "seed": null}\n\n{"audio": ["x"]}', "m.jsonl"
    )
    assert [row.values for row in rows] == [
        {"audio": "a.wav", "mouth_strength": 1.5},
        {"audio": ["x"]},
    ]
    assert [row.number for row in rows] == [1, 2]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("audio,promt\na,b\n", "column 'promt': no such option; is 'prompt' meant?"),
        ("audio,colour\na,b\n", "no such option; use one of audio, image, mouth-strength, output,"),
        ("audio,seed,Seed\na,1,2\n", "column seed is there twice"),
        ("audio\n", "no rows; write one for each video"),
        ("", "the file is empty"),
        ("audio\n\xe4.wav\n".encode("latin-1"), "byte 6 is no UTF-8; save it as 'CSV UTF-8'"),
        ('audio\n"a.wav\n', "check the quotes around there"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(read, content, says):
    with pytest.raises(InvalidInputError, match=says.replace("?", r"\?")):
        read(content)


def test_a_manifest_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="no such file"):
        read_manifest(tmp_path / "m.csv", OPTIONS)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"audio": "a.wav"', "no JSON"),
        ("[1]", "no JSON object"),
        ('{"audio": "a", "sed": 1}', "is 'seed' meant?"),
        ('{"seed": 1, "--seed": 2}', "an option is there twice"),
    ],
)
def test_a_line_that_makes_no_sense_is_the_error_of_its_row_alone(read, line, says):
    good, bad, last = read(f'{{"audio": "a"}}\n{line}\n{{"audio": "b"}}\n', "m.jsonl")
    assert says in str(bad.error)
    assert good.error is last.error is None


def test_too_many_cells_are_the_error_of_their_row_alone(read):
    bad, good = read("audio,prompt\na.wav,one, two\nb.wav,three\n")
    assert "3 cells under 2 columns; put quotes around" in str(bad.error)
    assert good.values == {"audio": "b.wav", "prompt": "three"}
