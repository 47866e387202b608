"""Cells of a manifest become what the same words on the command line are."""

from pathlib import Path

import pytest

from flashtalk_core.batch.row_options import ROW_OPTIONS
from flashtalk_core.batch.row_reader import RowReader
from flashtalk_core.cli.main import PROGRAM
from flashtalk_core.cli.program import build_parser
from flashtalk_core.cli.rendering.render_options import read_spec
from flashtalk_core.errors import InvalidInputError

pytestmark = pytest.mark.cpu

FILES = {"image": "me.png", "audio": "a.wav"}
FOLDER = Path("/srv/list")


def render(*words):
    """Return the spec and the quality of a command ``render``."""
    command = ["render", "--image", "me.png", "--audio", "a.wav", "-o", "a.mp4", *words]
    args = build_parser(PROGRAM).parse_args(command)
    return read_spec(args), args.crf


def batch(*words):
    return build_parser(PROGRAM).parse_args(["batch", "m.csv", *words])


def read(defaults=(), **values):
    return RowReader(FOLDER, vars(batch(*defaults))).read(FILES | values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ()),
        ({"prompt": "--a, 'b' = c"}, ("--prompt=--a, 'b' = c",)),
        ({"seed": "7", "steps": 2}, ("--seed", "7", "--steps", "2")),
        ({"size": "64x96", "fit": "pad"}, ("--size", "64x96", "--fit", "pad")),
        ({"shift": "-3"}, ("--shift=-3",)),
        ({"crf": "30"}, ("--crf", "30")),
        ({"float8": "Yes"}, ("--float8",)),
        ({"float8": True, "no_fused_layers": 1}, ("--float8", "--no-fused-layers")),
        ({"float8": "false"}, ()),
        ({"prompt_at": "2: She nods\n3.5: a: b"},
         ("--prompt-at", "2", "She nods", "--prompt-at", "3.5", "a: b")),
        ({"prompt_at": [[2, "She nods"]]}, ("--prompt-at", "2", "She nods")),
        ({"prompt_at": "1:05: She nods\n1:02:03.5: b"},
         ("--prompt-at", "65", "She nods", "--prompt-at", "3723.5", "b")),
        ({"prompt_at": [["1:05", "a"]]}, ("--prompt-at", "65", "a")),
        ({"model": "tiny"}, ("--model", "tiny")),
        ({"model": "14b"}, ("--model", "/srv/list/14b")),
        ({"lora": "a.safetensors:0.8\nb"},
         ("--lora", "/srv/list/a.safetensors:0.8", "--lora", "/srv/list/b")),
        ({"soundtrack": "mix.wav", "upscale": "4x.pth", "upscale_by": "1,5"},
         ("--soundtrack", "/srv/list/mix.wav", "--upscale", "/srv/list/4x.pth",
          "--upscale-by", "1.5")),
        ({"lora": ["/a"], "device": "cpu"}, ("--lora", "/a", "--device", "cpu")),
        ({"output": "x.mp4"}, ()),
        ({"speaker": "left\n1,2,3,4:b.wav", "speaker_start": "0\n2.5"},
         ("--speaker", "left", "--speaker", "1,2,3,4:/srv/list/b.wav",
          "--speaker-start", "0", "2.5")),
        ({"speaker": ["m.png", "right"], "turns": "1: 0-1, 2: 1-2", "speaker_routing": "regions"},
         ("--speaker", "/srv/list/m.png", "--speaker", "right", "--turns", "1: 0-1, 2: 1-2",
          "--speaker-routing", "regions")),
    ],
)  # fmt: skip
def test_a_row_is_read_as_the_command_line_is(values, words):
    assert read(**values) == render(*words)


def test_options_of_the_batch_hold_for_rows_without_their_own():
    defaults = ("--steps", "2", "--lora", "x", "--crf", "20", "--float8", "--device", "cpu")
    assert read(defaults, seed=1) == render(*defaults, "--seed", "1")
    own = ("--steps", "5", "--lora", "/y", "--crf", "1", "--device", "cpu")
    assert read(defaults, steps=5, lora="/y", crf=1, float8="no") == render(*own)


def test_what_several_devices_do_together_is_no_column():
    names = RowReader(FOLDER).names
    assert {"seed", "memory", "device", "prompt_at"} <= names
    together = {
        "devices",
        "ray",
        "vae_grid",
        "ring",
        "exchange",
        "step_limit",
        "limit",
        "debug",
        "help",
    }
    assert not together & names
    assert "device" not in RowReader(FOLDER, has_device=False).names


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "8.0", 8), ("seed", "8,00", 8), ("duration", "0,5", 0.5), ("duration", "0.5", 0.5),
    ],
)  # fmt: skip
def test_numbers_of_spreadsheets_are_read(name, text, value):
    spec, _ = read(**{name: text})
    assert (spec.sampling.seed if name == "seed" else spec.duration_s) == value


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"speaker": "left:a.wav right:b.wav"},
            "--speaker 'left:a.wav right:b.wav': a place is "
            "for two speakers; name both, one value a line",
        ),
        ({"speaker": "left:a.wav;right:b.wav"}, "name both, one value a line"),
        ({"speaker_start": "0 1"}, "--speaker-start '0 1': use a number; one value a line"),
        (
            {"speaker": "left\nright", "speaker_start": "0,5"},
            "--speaker-start '0,5': the start of "
            "one speaker, or two? write a decimal point, or one value a line",
        ),
        ({"size": "64"}, "--size '64': write height x width in pixels, such as 768x448"),
        ({"fit": "crop"}, "--fit 'crop': use one of cover, pad"),
        ({"seed": "x"}, "--seed 'x': use a whole number"),
        ({"seed": True}, "--seed True: use a text or a number"),
        ({"float8": "maybe"}, "--float8 'maybe': use 'true' or 'false'"),
        ({"prompt_at": "She nods"}, "write a second, a colon and a prompt"),
        ({"prompt_at": "x: She nods"}, "--prompt-at 'x': no number of seconds"),
    ],
)
def test_a_value_that_is_none_says_so(values, says):
    with pytest.raises(InvalidInputError) as caught:
        read(**values)
    assert says in str(caught.value)


def test_options_of_a_row_are_those_of_render_and_of_the_batch():
    """The same names and values without a word of the user; each can be set for all rows."""
    files = {"image", "audio", "output", "manifest", "output_folder", "results"}
    others = files | {"dry_run", "again", "devices", "ray", "workers", "step_limit"}
    found = {name: value for name, value in vars(batch()).items() if name not in others}
    own = {name: option.default for name, option in ROW_OPTIONS.items()}
    of_the_command = {"command", "run"}
    assert found.keys() - of_the_command == own.keys()
    lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
    assert {name: (found | lists)[name] for name in own} == own
    assert RowReader(FOLDER).read(FILES) == render()
