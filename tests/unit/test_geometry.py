"""Arithmetic of frames, chunks and sizes, in integers."""

import math
from fractions import Fraction

import pytest

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.geometry import (
    check_size,
    chunk_span,
    num_chunks,
    num_latent_frames,
    num_video_frames,
    span_at,
    token_grid,
)

pytestmark = pytest.mark.cpu

RATES = (8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000)


@pytest.mark.parametrize(
    ("seconds", "num_frames", "chunks"),
    [("0.04", 1, 1), ("0.5", 13, 1), ("1.12", 28, 1), ("1.13", 29, 2), ("37.5", 938, 34)],
)
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_length_of_a_video(seconds, num_frames, chunks, rate):
    num_samples = int(Fraction(seconds) * rate)
    assert num_video_frames(num_samples, rate, 25) == num_frames
    assert num_chunks(num_frames, ChunkConfig()) == chunks


@pytest.mark.parametrize("rate", RATES)
def test_ten_hours_are_exact_to_the_sample(rate):
    num_samples = 36_000 * rate
    assert num_video_frames(num_samples, rate, 25) == 900_000
    assert num_video_frames(num_samples + 1, rate, 25) == 900_001
    assert num_video_frames(num_samples - 1, rate, 25) == 900_000


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("num_samples", [1, 639, 640, 641, 1764, 1765, 123_456_789])
def test_length_is_the_exact_quotient_rounded_up(rate, num_samples):
    expected = math.ceil(Fraction(25 * num_samples, rate))
    assert num_video_frames(num_samples, rate, 25) == expected


def test_no_audio_needs_no_chunk():
    assert num_video_frames(0, 16_000, 25) == 0
    assert num_chunks(0, ChunkConfig()) == 0


@pytest.mark.parametrize(
    "chunk", [ChunkConfig(), ChunkConfig(num_frames=17, num_motion_frames=9)], ids=["33/5", "17/9"]
)
def test_chunks_tile_the_video_and_hear_what_they_show(chunk):
    spans = [chunk_span(k, chunk) for k in range(50)]
    shown = [frame for span in spans for frame in span.shown]
    assert shown == list(range(50 * chunk.num_new_frames))
    for span in spans:
        assert len(span.audio) == chunk.num_frames
        assert span.audio.stop == span.shown.stop
        assert len(span.window) == chunk.audio_context_frames
        inside = list(span.window)[span.audio_in_window.start : span.audio_in_window.stop]
        assert inside == list(span.audio)


@pytest.mark.parametrize("k", [0, 1, 32_142])
def test_spans_of_the_authors_arithmetic(k):
    span = chunk_span(k, ChunkConfig())
    assert span.shown == range(28 * k, 28 * k + 28)
    assert span.audio == range(28 * k - 5, 28 * k + 28)
    assert span.window == range(28 * k - 89, 28 * k + 111)
    assert span.audio_in_window == range(84, 117)


def test_a_chunk_needs_17920_new_samples():
    chunk = ChunkConfig()
    assert chunk.num_new_frames * chunk.samples_per_frame == 17_920


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (5, 2), (17, 5), (33, 9)])
def test_latent_frames(frames, latents):
    assert num_latent_frames(frames) == latents


@pytest.mark.parametrize(("size", "tokens"), [((768, 448), 12_096), ((720, 416), 10_530)])
def test_tokens_of_the_sizes_in_use(size, tokens):
    grid = token_grid((9, size[0] // 8, size[1] // 8), DiTConfig())
    assert math.prod(grid) == tokens


@pytest.mark.parametrize("size", [(768, 448), (448, 768), (720, 416), (128, 128), (32, 2048)])
def test_sizes_in_steps_of_16_are_accepted_either_way_round(size):
    check_size(size)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            (770, 448),
            "size 770x448: height 770 must be a multiple of 16 from 32 to 2048; try 768x448",
        ),
        (
            (768, 450),
            "size 768x450: width 450 must be a multiple of 16 from 32 to 2048; try 768x448",
        ),
        ((16, 448), "size 16x448: height 16 must be a multiple of 16 from 32 to 2048; try 32x448"),
        (
            (448, 100_000),
            "size 448x100000: width 100000 must be a multiple of 16 from 32 to 2048; try 448x2048",
        ),
        ((0, 0), "size 0x0: height 0 must be a multiple of 16 from 32 to 2048; try 32x32"),
        (
            (-768, 448),
            "size -768x448: height -768 must be a multiple of 16 from 32 to 2048; try 32x448",
        ),
    ],
)
def test_other_sizes_are_answered_with_the_nearest_one(size, message):
    with pytest.raises(InvalidInputError) as caught:
        check_size(size)
    assert str(caught.value) == message


@pytest.mark.parametrize("index", [0, 1, 7])
def test_a_chunk_that_begins_at_any_frame_has_the_spans_of_one_in_a_row(index):
    chunk = ChunkConfig()
    assert span_at(28 * index, index, chunk) == chunk_span(index, chunk)
    moved = span_at(28 * index + 5, index, chunk)
    assert moved.shown == range(28 * index + 5, 28 * index + 33)
    assert moved.audio_in_window == chunk_span(index, chunk).audio_in_window
