"""Values on the command line, up to the plan of a render: one line each, or a plan."""

import argparse

import pytest

from flashtalk_core.cli.main import PROGRAM
from flashtalk_core.cli.program import build_parser, describe
from flashtalk_core.cli.rendering import command as render
from flashtalk_core.errors import FlashTalkError

from .mutate import cases
from .trial import run

pytestmark = pytest.mark.manual

STRANGE = (
    "", " ", "0", "1", "-1", "4", "1e308", "-1e308", "1e-9", "nan", "inf", "9" * 5000, "a" * 5000,
    "~nosuchuser/x", "~", ".", "..", "/", "/dev/null", "/dev/zero", "/dev/fd/0", "/dev/fd/99",
    "https://example.org/a.png", "file:///a", "a\0b", "caf\udce9", "\ud83d", "\x1b[2J", "\u202e",
    "-", "--", "0x10", "1_000", "\u0661", "32x32", "0x0", "32x", "x32", "auto", "cpu", "gpu",
    "mps", "meta", "cuda:0", "tiny", "offload:3", "offload:-1", "float8", "plain", "a:b", "b:nan",
    "1,5", "None", "true", "\n", "sdpa", "float16", "euler",
)  # fmt: skip
OPTIONS = (
    "--image", "--audio", "--model", "--size", "--fit", "--prompt", "--steps", "--rule", "--shift",
    "--seed", "--colour-strength", "--colour-area", "--join-frames", "--mouth-strength", "--start",
    "--duration", "--crf", "--device", "--dtype", "--attention", "--decode-latents", "--memory",
    "--lora", "--speed", "-o",
)  # fmt: skip


def value(rng):
    if rng.random() < 0.8:
        return rng.choice(STRANGE)
    return "".join(rng.choice(STRANGE)[:20] for _ in range(rng.randint(2, 4)))


def make(rng):
    given = ["render", "--duration=0.04", "--size=32x32", "--steps=1"]
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.1:
            given += ["--prompt-at", value(rng), value(rng)]
        else:
            given.append(f"{rng.choice(OPTIONS)}={value(rng)}")
    return given


def test_render(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(given):
        out = [] if any(each.startswith("-o=") for each in given) else ["-o", "a.mp4"]
        try:
            args = build_parser(PROGRAM).parse_args([*given, *out])
            render.make_plan(args).fingerprint()
        except FlashTalkError as error:
            line, code = describe(error)
            assert code == 2
            assert line.isprintable()
            raise

    read(["render", "--duration=0.04", "--size=32x32"])  # what is imported takes its time once
    count = run("command line", read, cases(2_000, make), (FlashTalkError, argparse.ArgumentError))
    assert not count.uncaught, str(count)
