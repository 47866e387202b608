"""Sessions of shorter chunks, and of chunks that nothing is heard after."""

import dataclasses

import numpy as np
import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.weights.load import load_avatar
from flashtalk_training.chunk_lengths import check_lengths, chunk_of
from flashtalk_training.drawn_faces.styles import TRAINED
from flashtalk_training.evaluation.batched_sessions import Sessions
from flashtalk_training.evaluation.eval_clip import ArrayAudio, held_out_face

pytestmark = pytest.mark.training

CHUNK = ChunkConfig()
STEP = CHUNK.samples_per_frame


def test_a_file_is_heard_to_the_end_of_the_window_and_a_live_session_is_not():
    assert chunk_of(CHUNK, None, None) == CHUNK
    assert chunk_of(CHUNK, 17, None) == ChunkConfig(num_frames=17)
    for length, look_ahead in ((33, 0), (17, 0), (17, 2)):
        chunk = chunk_of(CHUNK, length, look_ahead)
        assert chunk.num_frames == length
        after = chunk.audio_context_frames - chunk.audio_lookback_frames - chunk.num_new_frames
        assert after == look_ahead


@pytest.mark.parametrize(
    ("length", "look_ahead", "said"),
    [
        (16, None, "chunk of 16 frames: use 4n"),
        (5, 0, "chunk of 5 frames: use 4n"),
        (121, None, "chunk frames 121: .* use at most 111 new frames"),
        (None, 26, "look-ahead 26: use 0 to 25"),
        (None, -1, "look-ahead -1: use 0 to 25"),
    ],
)
def test_chunks_that_cannot_be_are_refused(length, look_ahead, said):
    with pytest.raises(InvalidInputError, match=said):
        chunk_of(CHUNK, length, look_ahead)


def test_lengths_of_training_are_beginnings_of_the_models_own():
    check_lengths(CHUNK, (33, 21, 17))
    for lengths, said in (((37,), "37 frames: training clips have 33"), ((18,), "use 4n")):
        with pytest.raises(InvalidInputError, match=said):
            check_lengths(CHUNK, lengths)


def first_chunk(models, samples, length, look_ahead):
    chunk = chunk_of(models.config.chunk, length, look_ahead)
    models = dataclasses.replace(models, config=dataclasses.replace(models.config, chunk=chunk))
    portrait = TRAINED.portraits(held_out_face(0), models.config.size_px)
    sampling = dataclasses.replace(models.config.sampling, steps=1)
    return next(Sessions(models, portrait, [ArrayAudio(samples)], sampling).play(1))


def test_a_live_chunk_is_not_changed_by_what_is_said_after_it():
    models = load_avatar("tiny", torch.device("cpu"), torch.float32)
    said = np.random.default_rng(0).standard_normal(60 * STEP).astype(np.float32) * 0.1
    other = said.copy()
    other[12 * STEP :] = 0
    for look_ahead, is_same in ((0, True), (2, False), (None, False)):
        one, two = (first_chunk(models, samples, 17, look_ahead) for samples in (said, other))
        assert one.shape[1] == 12
        assert torch.equal(one, two) == is_same
