"""Files of a training run that are damaged: reported in one line, with the file and the remedy."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_training.experiment.table import load_experiment, read_results
from flashtalk_training.runs.curves import Curve, read_curve
from flashtalk_training.runs.states import load_notes, load_state, save_state
from flashtalk_training.speech.corpus_file import corpus_minutes, load_corpus
from flashtalk_training.stages import trained_vae

pytestmark = pytest.mark.training


def refusal(read, path):
    with pytest.raises(InvalidInputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.isprintable()
    assert str(path.parent) in message
    assert len(message) < len(str(path)) + 400
    return message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"step,loss\n1,two\n", "line 2 holds 'two', no number"),
        (b"step,loss\n1,2,3,4\n", "line 2 has more values than there are columns"),
        (b"step,loss\n\xff,1\n", "codec can't decode"),
        (b'step,loss\n"' + b"9" * 200_000 + b'",1\n', "field larger than field limit"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_curve(tmp_path, content, said):
    path = tmp_path / "vae.csv"
    path.write_bytes(content)
    assert said in refusal(read_curve, path)
    assert said in refusal(Curve, path)


def test_a_curve_with_a_line_that_does_not_say_when(tmp_path):
    path = tmp_path / "vae.csv"
    path.write_text("step,loss\n,1\n")
    curve = Curve(path)
    assert "a line has no 'step'" in refusal(lambda _: curve.cut("step", 5), path)


@pytest.fixture
def state(tmp_path):
    save_state(tmp_path, "vae", {"a": torch.ones(3)}, {"step": 4.0, "spent_s": 2.0})
    return tmp_path / "vae-0.safetensors"


@pytest.mark.parametrize(
    "notes",
    [
        {"shards": "many", "step": "4"},
        {"shards": "1", "step": "four"},
        {"shards": "1", "step": "nan"},
        {"shards": "1", "spent_s": "5"},
        {"shards": "9" * 4000, "step": "4"},
        {"shards": "1000000000", "step": "4"},
        {"shards": "-1", "step": "4"},
        {"step": "4"},
    ],
    ids=lambda value: str(value)[:40],
)
def test_notes_of_a_state(state, notes):
    save_file({"a": torch.ones(3)}, state, metadata=notes)
    assert "remove" in refusal(lambda path: load_notes(path.parent, "vae"), state)


@pytest.mark.parametrize("kept", [0, 4, 9, 60, -4])
def test_a_state_that_is_cut_short(state, kept):
    state.write_bytes(state.read_bytes()[:kept])
    assert "not a whole safetensors file" in refusal(lambda p: load_state(p.parent, "vae"), state)


def test_a_state_with_an_entry_that_cannot_be_read(state):
    header = {"a": {"dtype": "F7", "shape": [1], "data_offsets": [0, 4]},
              "__metadata__": {"shards": "1", "step": "4"}}  # fmt: skip
    text = json.dumps(header).encode()
    state.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    refusal(lambda path: load_state(path.parent, "vae"), state)


@pytest.mark.parametrize(
    "values",
    [
        "[" * 90_000,
        "5",
        '{"step": 1}',
        '{"step": 1, "latent_mean": "a", "latent_std": [1]}',
        '{"step": 1, "latent_mean": [1], "latent_std": ["a"]}',
        '{"step": 1, "latent_mean": [NaN], "latent_std": [1]}',
    ],
    ids=lambda value: value[:30],
)
def test_statistics_of_latents(tmp_path, values):
    path = tmp_path / "latents.json"
    path.write_text(values)
    message = refusal(lambda p: trained_vae(p.parent, VAEConfig(), torch.device("cpu")), path)
    assert message.startswith(f"{path}: no statistics of latents")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 9000,
        "a = " + "9" * 5000,
        "a = \x00",
        "seeds = [99999999999999999999]\n[[rows]]\nname = 'a'",
        "faces = 100000000000000000000000",
        "seeds = " + repr(list(range(5000))) + "\nfaces = 'many'",
        "rows = 5",
        "students = []",
        "x" * 5000 + " = 1",
        "[students.a]\nnum_steps = '" + "9" * 5000 + "'\n[[rows]]\nname = 'a'",
        "seeds = [1979-05-27]",
    ],
    ids=lambda value: value[:30],
)
def test_a_table_of_the_experiment(tmp_path, text):
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    assert refusal(load_experiment, path).startswith(f"experiment {path}")


CELL = {"key": "a", "lips": {"shape_error": 0.1}, "drift": {"chunk": [1], "identity": [0.5]}}


@pytest.mark.parametrize(
    "result",
    [
        "[" * 90_000,
        CELL | {"key": ["a"]},
        CELL | {"key": 5},
        CELL | {"lips": 5},
        CELL | {"lips": {"shape_error": "small"}},
        CELL | {"drift": {"chunk": 5}},
        CELL | {"drift": {"chunk": [1, 2], "identity": [0.5]}},
        CELL | {"drift": {"chunk": ["one"]}},
        CELL | {"recovery": 5},
        CELL | {"recovery": {"none": 5}},
        CELL | {"recovery": {"none": {"chunk": "a"}}},
        CELL | {"heads": {"still": {"sway": "a"}}},
        {"way": ["a"], "device": "b", "frames_per_s": 1},
        {"way": "a", "device": {}, "frames_per_s": 1},
        {"way": "a", "device": "b", "frames_per_s": "fast"},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_line_of_results(tmp_path, result):
    path = tmp_path / "experiment.jsonl"
    line = result if isinstance(result, str) else json.dumps(result)
    path.write_text(f"{json.dumps(CELL)}\n{line}\n")
    assert "line 2 is no whole result; remove it" in refusal(read_results, path)


def test_a_folder_in_place_of_results_counts_as_no_results(tmp_path):
    assert read_results(tmp_path) == []


PARTS = {
    "sound": np.zeros(1280, np.uint8),
    "mouth": np.zeros((2, 6), np.uint8),
    "phonemes": np.zeros(2, np.uint8),
    "starts": np.array([0, 2], np.int32),
    "voice_ids": np.zeros(1, np.int32),
    "held_out": np.zeros(1, np.uint8),
}
NOTES = {"format": "flashtalk-corpus-1", "voices": '["a"]'}


def test_a_corpus_that_is_whole(tmp_path):
    save_arrays(PARTS, tmp_path / "corpus.safetensors", metadata=NOTES)
    assert len(load_corpus(tmp_path / "corpus.safetensors")) == 1


@pytest.mark.parametrize(
    ("parts", "notes"),
    [
        ({"sound": np.zeros(5, np.uint8)}, {}),
        ({"sound": np.zeros(1280, np.float32)}, {}),
        ({"mouth": np.zeros((2, 5), np.uint8)}, {}),
        ({"phonemes": np.full(2, 255, np.uint8)}, {}),
        ({"starts": np.array([0, -2], np.int32)}, {}),
        ({"starts": np.array([0, 5, 2], np.int32)}, {}),
        ({"starts": np.zeros((), np.int32)}, {}),
        ({"voice_ids": np.array([7], np.int32)}, {}),
        ({"voice_ids": np.array([-1], np.int32)}, {}),
        ({"held_out": np.zeros(2, np.uint8)}, {}),
        ({}, {"voices": "[" * 9000}),
        ({}, {"voices": "5"}),
        ({}, {"voices": "[5]"}),
        ({}, {"voices": "[]"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_corpus_whose_parts_do_not_go_together(tmp_path, parts, notes):
    path = tmp_path / "corpus.safetensors"
    save_arrays(PARTS | parts, path, metadata=NOTES | notes)
    assert "`train corpus --again` makes it again" in refusal(load_corpus, path)


@pytest.mark.parametrize("missing", [*PARTS, "voices"])
def test_a_corpus_that_lacks_a_part(tmp_path, missing):
    path = tmp_path / "corpus.safetensors"
    parts = {name: part for name, part in PARTS.items() if name != missing}
    notes = {name: note for name, note in NOTES.items() if name != missing}
    save_arrays(parts, path, metadata=notes)
    refusal(load_corpus, path)


def test_the_length_of_a_damaged_corpus(tmp_path):
    path = tmp_path / "corpus.safetensors"
    save_arrays(PARTS | {"starts": np.zeros(0, np.int32)}, path, metadata=NOTES)
    refusal(corpus_minutes, path)
