import numpy as np
import pytest
from safetensors.numpy import save_file

from flashtalk_core.errors import InvalidInputError
from flashtalk_training.speech.corpus_file import (
    SAMPLES_PER_FRAME,
    Segment,
    decode_mu_law,
    encode_mu_law,
    join_corpora,
    load_corpus,
    pack_corpus,
    pack_mouth,
    save_corpus,
    unpack_mouth,
)

pytestmark = pytest.mark.training


def segment(frames, voice, held_out=False):
    rng = np.random.default_rng(frames)
    mouth = rng.uniform(0, 1, (frames, 6)).astype(np.float32)
    mouth[:, 1] = rng.uniform(-1, 1, frames)
    samples = (0.1 * rng.standard_normal(frames * SAMPLES_PER_FRAME)).astype(np.float32)
    phonemes = rng.integers(0, 15, frames).astype(np.uint8)
    return Segment(samples, mouth, phonemes, voice, held_out)


def test_mu_law_keeps_silence_and_loses_little():
    samples = np.linspace(-1, 1, 20_001, dtype=np.float32)
    codes = encode_mu_law(samples)
    assert codes.dtype == np.uint8
    decoded = decode_mu_law(codes)
    assert np.abs(decoded - samples).max() < 0.025
    assert np.abs(decoded - samples)[np.abs(samples) < 0.01].max() < 0.0006
    assert decode_mu_law(encode_mu_law(np.zeros(4, np.float32))).tolist() == [0.0] * 4


def test_every_mu_law_code_survives_a_round_trip():
    codes = np.arange(1, 256, dtype=np.uint8)
    np.testing.assert_array_equal(encode_mu_law(decode_mu_law(codes)), codes)


def test_a_packed_mouth_keeps_its_zeros():
    track = segment(50, "v").mouth
    track[10] = 0
    unpacked = unpack_mouth(pack_mouth(track))
    assert np.abs(unpacked - track).max() < 0.005
    assert (unpacked[10] == 0).all()


def test_segments_come_back_from_the_file(tmp_path):
    segments = [segment(7, "a"), segment(5, "b", held_out=True), segment(3, "a")]
    path = tmp_path / "corpus.safetensors"
    save_corpus(pack_corpus(segments), path)
    corpus = load_corpus(path)
    assert len(corpus) == 3
    assert corpus.indices(held_out=False) == [0, 2]
    assert corpus.indices(held_out=True) == [1]
    assert [corpus.num_frames(i) for i in range(3)] == [7, 5, 3]
    for index, original in enumerate(segments):
        read = corpus.segment(index)
        assert (read.voice, read.held_out) == (original.voice, original.held_out)
        np.testing.assert_allclose(read.samples, original.samples, atol=0.02)
        np.testing.assert_allclose(read.mouth, original.mouth, atol=0.005)
        np.testing.assert_array_equal(read.phonemes, original.phonemes)
    assert [p.name for p in tmp_path.iterdir()] == ["corpus.safetensors"]


def test_a_file_that_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="no such file"):
        load_corpus(tmp_path / "none")
    broken = tmp_path / "broken"
    broken.write_bytes(b"not tensors at all")
    with pytest.raises(InvalidInputError, match="not a safetensors file"):
        load_corpus(broken)
    other = tmp_path / "other"
    save_file({"x": np.zeros(1)}, str(other))
    with pytest.raises(InvalidInputError, match="make it again"):
        load_corpus(other)


def test_joined_corpora_hold_the_segments_of_both():
    first = [segment(7, "a"), segment(5, "b", held_out=True)]
    second = [segment(3, "c"), segment(4, "a")]
    joined = join_corpora([pack_corpus(first), pack_corpus(second)])
    whole = pack_corpus(first + second)
    assert joined.voices == ("a", "b", "c")
    assert joined.indices(held_out=True) == [1]
    for index in range(4):
        one, other = joined.segment(index), whole.segment(index)
        assert (one.voice, one.held_out) == (other.voice, other.held_out)
        for a, b in zip(one[:3], other[:3], strict=True):
            np.testing.assert_array_equal(a, b)
