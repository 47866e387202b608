"""Messages as the server reads and writes them."""

import asyncio
import base64
import json

import numpy as np
import pytest
import torch

from flashtalk_core.errors import InvalidInputError, OutputError
from flashtalk_core.live.shown import Shown
from flashtalk_core.serve.protocol import (
    FRAME,
    MAGIC,
    Refusal,
    RefusedError,
    Start,
    pack_frame,
    parse_message,
    parse_start,
    pcm_of,
    read_body,
    samples_of,
)

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("[]", "send a JSON object with a 'type'"),
        ('{"a": 1}', "send a JSON object with a 'type'"),
        ('{"type": 3}', "send a JSON object with a 'type'"),
        ('{"type": "end", "type": "clear"}', "key 'type' is there twice"),
        ("[" * 5000, "no JSON"),
        (
            "[" + "[]," * 9_000_000 + "1]",
            "message of 18,000,001 parts: JSON of a message has a few",
        ),
        ('{"type": "end", "x": [' + "1," * 10_000 + "1]}", "at most 10,000 are read"),
    ],
)
def test_what_is_no_message_is_refused(text, message):
    with pytest.raises(InvalidInputError, match="message") as error:
        parse_message(text)
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def test_a_start_says_what_it_says_and_the_rest_is_the_default():
    start = parse_start(
        {"type": "start", "rate": 24_000, "format": "rgb", "prompt": None, "idle": None}
    )
    assert start == Start(rate=24_000, format="rgb")
    picture = b"an image"
    text = base64.b64encode(picture).decode()
    assert parse_start({"portrait": text}).portrait == picture


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fromat": "rgb"}, "unknown fromat; known are token, session"),
        ({"rate": 16_001}, "no multiple of 25"),
        ({"prompt": "\ud800"}, "half of a character"),
        ({"format": "fmp4"}, "format 'fmp4': use none, jpeg"),
        ({"format": "avi"}, "format 'avi': use none, jpeg"),
        ({"format": ["rgb"]}, "format \"['rgb']\""),
        ({"source": "tts"}, "source 'tts': use speech, microphone"),
        ({"idle": "sleep"}, "idle 'sleep': use bank, draw, still"),
        ({"rate": 7_999}, "rate 7999: use 8000 to 48000"),
        ({"rate": "16000"}, "rate '16000' is not a whole number"),
        ({"rate": True}, "rate 'True' is not a whole number"),
        ({"rate": 16e3}, "is not a whole number"),
        ({"channels": 3}, "channels 3: use 1 to 2"),
        ({"seed": -1}, "seed -1: use 0 to"),
        ({"seed": 10**4000}, "seed 1000"),
        ({"prompt": 5}, "prompt '5' is not a text"),
        ({"prompt": "x" * 2001}, "prompt of 2001 characters; use at most 2000"),
        ({"portrait": 7}, "portrait is no text"),
        ({"portrait": "not base64!"}, "portrait is no Base64"),
        ({"portrait": "QUJD\nQUJD"}, "without line breaks and"),
        ({"portrait": "A" * 28_000_000}, "at most 20,971,520 are taken"),
        ({"session": 3}, "session '3' is not a text"),
    ],
)
def test_a_start_that_cannot_be_used_says_why(fields, message):
    with pytest.raises(InvalidInputError, match="start: ") as error:
        parse_start(fields)
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def test_sound_is_the_same_after_both_ways():
    values = np.random.default_rng(0).integers(-32768, 32768, 2000).astype("<i2").tobytes()
    block = samples_of(values, 2)
    assert block.shape == (2, 1000)
    assert block.dtype == np.float32
    assert np.abs(block).max() <= 1
    assert pcm_of(block) == values
    assert pcm_of(np.full((1, 1), 3, np.float32)) == b"\xff\x7f"


@pytest.mark.parametrize(("num_bytes", "channels"), [(1, 1), (2, 2), (3, 1)])
def test_half_samples_are_refused(num_bytes, channels):
    with pytest.raises(InvalidInputError, match="whole samples a message"):
        samples_of(bytes(num_bytes), channels)


def test_a_frame_carries_its_sound():
    picture = torch.zeros(4, 6, 3, dtype=torch.uint8)
    sound = np.full((2, 640), 0.5, np.float32)
    data = pack_frame(Shown(70_000, picture, sound, 3, is_held=True), b"picture")
    head = FRAME.unpack(data[: FRAME.size])
    assert head == (MAGIC, 70_000, 4, 6, 3, 2, 0, 7, 640)
    assert data[FRAME.size : FRAME.size + 7] == b"picture"
    assert (samples_of(data[FRAME.size + 7 :], 2) == sound).all()
    assert json.loads('{"type": "end"}') == parse_message('{"type": "end"}')


@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    [
        (InvalidInputError("rate 3: use 8000"), 400, "input", {}),
        (RefusedError("input", "too long"), 400, "input", {}),
        (RefusedError("session", "it ended"), 404, "session", {}),
        (RefusedError("token", "none"), 401, "token", {}),
        (RefusedError("busy", "later", 7), 503, "busy", {"Retry-After": "7"}),
    ],
)
def test_an_error_is_answered_with_its_code_and_message(error, status, code, headers):
    told = Refusal.of(error)
    assert told == Refusal(status, {"code": code, "message": str(error)}, headers)


def test_an_error_of_the_server_is_told_by_a_number_alone(caplog):
    told = Refusal.of(OutputError("/secret/place: disk full"))
    assert (told.status, told.body["code"]) == (500, "internal")
    assert "secret" not in told.body["message"]
    assert told.body["message"].split()[-1] in caplog.text


def test_no_more_is_read_of_a_body_than_it_may_have():
    num_read = 0

    async def parts():
        nonlocal num_read
        for _ in range(9):
            num_read += 1
            yield bytes(10)

    assert asyncio.run(read_body(parts(), 90, "the sound")) == bytes(90)
    num_read = 0
    with pytest.raises(RefusedError, match="the sound is longer than 25 bytes; send less"):
        asyncio.run(read_body(parts(), 25, "the sound"))
    assert num_read == 3
