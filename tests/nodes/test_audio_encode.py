"""Audio Encode: native AUDIO of any kind becomes measured speech, or a message."""

import pytest
import torch

from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.cpu


def refused(text):
    return f"FlashTalk Audio Encode, input {text}"


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_audio_of_any_rate_and_channels_is_measured(pack, make, rate_hz, channels):
    audio = make.audio(0.5, rate_hz, channels)
    found = pack.run("AudioEncode", audio=audio).args[0].audio
    assert (found.rate_hz, found.channels) == (rate_hz, channels)
    assert found.num_samples == audio["waveform"].shape[-1]
    assert not found.is_silent


def test_the_video_has_the_own_rate_and_channels_of_the_audio(pack, model, make):
    speech = pack.run("AudioEncode", audio=make.audio(0.1, 48_000, 2)).args[0]
    measured = measure_video(pack.preview(pack.frames(model, speech)))
    assert (measured.num_frames, measured.num_samples, measured.rate_hz) == (3, 4_800, 48_000)


def test_a_part_is_chosen_by_start_and_duration(pack, make):
    part = pack.run("AudioEncode", audio=make.audio(2.0), start=0.5, duration=0.75).args[0].audio
    assert (part.start_sample, part.num_samples) == (8_000, 12_000)
    rest = pack.run("AudioEncode", audio=make.audio(2.0), start=0.5).args[0].audio
    assert rest.num_samples == 24_000


def test_half_precision_and_strided_audio_is_taken(pack, make):
    whole = make.audio(0.5, channels=4)
    half = whole | {"waveform": whole["waveform"].half()}
    strided = whole | {"waveform": whole["waveform"].mT.contiguous().mT}
    found = [pack.run("AudioEncode", audio=audio).args[0].audio for audio in (whole, half, strided)]
    assert found[0].peak == pytest.approx(found[1].peak, rel=1e-3)
    assert found[0].identity == found[2].identity


def test_the_given_audio_is_not_modified(pack, make):
    audio = make.audio()
    before = audio["waveform"].clone()
    pack.run("AudioEncode", audio=audio, mouth_strength=2.0, loudness=-10.0)
    assert torch.equal(audio["waveform"], before)


def test_strength_and_loudness_reach_the_plan(pack, make):
    found = pack.run("AudioEncode", audio=make.audio(), mouth_strength=2.0, loudness=-30.0).args[0]
    assert (found.mouth_strength, found.audio.target_lufs) == (2.0, -30.0)


@pytest.mark.parametrize("as_given", [lambda wave: wave, lambda wave: wave.numpy()])
def test_audio_without_a_batch_is_one_clip(pack, make, as_given):
    audio = make.audio(0.5, channels=2)
    plain = as_given(audio["waveform"][0])
    found = pack.run("AudioEncode", audio=audio | {"waveform": plain}).args[0].audio
    assert found == pack.run("AudioEncode", audio=audio).args[0].audio


@pytest.mark.parametrize("as_given", [lambda wave: wave, lambda wave: wave.tolist()])
def test_audio_without_channels_is_mono(pack, make, as_given):
    audio = make.audio(0.5)
    plain = as_given(audio["waveform"][0, 0])
    found = pack.run("AudioEncode", audio=audio | {"waveform": plain}).args[0].audio
    assert found == pack.run("AudioEncode", audio=audio).args[0].audio


def test_samples_in_rows_are_turned(pack, make):
    audio = make.audio(0.5, channels=2)
    rows = audio["waveform"][0].mT
    found = pack.run("AudioEncode", audio=audio | {"waveform": rows}).args[0].audio
    assert found == pack.run("AudioEncode", audio=audio).args[0].audio


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32])
def test_whole_numbers_have_their_own_full_scale(pack, make, dtype):
    audio = make.audio(0.5)
    whole = (audio["waveform"].double() * torch.iinfo(dtype).max).to(dtype)
    found = pack.run("AudioEncode", audio=audio | {"waveform": whole}).args[0].audio
    assert found.peak == pytest.approx(float(audio["waveform"].abs().max()), rel=1e-3)


def test_unsigned_samples_are_silent_at_their_middle(pack, make):
    audio = make.audio(0.5)
    whole = (audio["waveform"].double() * 127 + 128).round().to(torch.uint8)
    found = pack.run("AudioEncode", audio=audio | {"waveform": whole}).args[0].audio
    assert found.peak == pytest.approx(float(audio["waveform"].abs().max()), abs=0.02)
    silent = audio | {"waveform": torch.full((1, 1, 8000), 128, dtype=torch.uint8)}
    assert pack.run("AudioEncode", audio=silent).args[0].audio.peak == 0


@pytest.mark.parametrize("samples", [[0, 1, -5] * 3000, torch.zeros(1, 1, 9000, dtype=torch.int64)])
def test_samples_without_a_known_full_scale_are_refused(pack, make, samples):
    error = pack.error("AudioEncode", audio=make.audio(0.5) | {"waveform": samples})
    assert "whose full scale is not known; use floats from -1 to 1, or uint8, int16, int32" in error


@pytest.mark.parametrize(
    "audio",
    [
        {"sample_rate": 16_000},
        {"waveform": torch.zeros(1, 1, 9)},
        {"waveform": "speech.wav", "sample_rate": 16_000},
        {"waveform": torch.zeros(1, 1, 9), "sample_rate": None},
        [torch.zeros(9), 16_000],
    ],
)
def test_what_is_no_audio_is_refused(pack, audio):
    message = pack.error("AudioEncode", audio=audio)
    assert message.startswith(refused("'audio': audio: no waveform with a sample_rate ("))


class Lazy(dict):
    """What packs hand over that read their file when they are asked."""

    def __getitem__(self, key):
        raise RuntimeError("no FFmpeg here\nat all")


@pytest.mark.parametrize(
    "audio",
    [
        5,
        "speech.wav",
        Lazy(),
        {"waveform": torch.zeros(1, 1, 9, device="meta"), "sample_rate": 16_000},
        {"waveform": torch.zeros(1, 1, 9).to_sparse(), "sample_rate": 16_000},
        {"waveform": torch.zeros(1, 1, 9, dtype=torch.complex64), "sample_rate": 16_000},
        {"waveform": torch.zeros(1, 1, 9), "sample_rate": float("inf")},
        {"waveform": torch.zeros(1, 1, 9), "sample_rate": float("nan")},
        {"waveform": torch.zeros(1, 1, 9), "sample_rate": torch.zeros(2)},
        {"waveform": [[0.0], [0.0, 1.0]], "sample_rate": 16_000},
        {"waveform": {"a": 5}, "sample_rate": 16_000},
        {"waveform": None, "sample_rate": 16_000},
    ],
    ids=lambda value: repr(value)[:40],
)
def test_inputs_of_other_nodes_are_shown_in_one_line(pack, audio):
    message = pack.error("AudioEncode", audio=audio)
    assert message.startswith(refused("'audio': audio: "))
    assert message.endswith("correct the node it comes from")


@pytest.mark.parametrize("rate", ["16000", 16_000.0, torch.tensor(16_000)])
def test_a_rate_may_be_written_in_any_way(pack, make, rate):
    audio = make.audio(0.5)
    found = pack.run("AudioEncode", audio=audio | {"sample_rate": rate}).args[0].audio
    assert found == pack.run("AudioEncode", audio=audio).args[0].audio


@pytest.mark.parametrize("shape", [(), (1, 1, 1, 9)])
def test_audio_of_too_many_or_few_dimensions_is_refused(pack, shape):
    audio = {"waveform": torch.zeros(shape), "sample_rate": 16_000}
    message = pack.error("AudioEncode", audio=audio)
    assert message.startswith(refused(f"'audio': audio of shape {shape}: "))


@pytest.mark.parametrize("batch", [0, 2, 5])
def test_a_batch_is_refused(pack, make, batch):
    message = pack.error("AudioEncode", audio=make.audio(batch=batch))
    assert message == refused(
        f"'audio': audio batch of {batch}: one audio clip makes one video; use a batch of 1, "
        "and queue the others one by one"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0}, "'audio': audio AUDIO: it holds 0 samples; record or export it again"),
        (
            {"channels": 9},
            "'audio': audio AUDIO: 9 channels; need 1 to 8, mix it down first",
        ),
        (
            {"rate_hz": 100},
            "'audio': audio AUDIO: 100 samples a second; need 1000 to 768000, convert it to 48000",
        ),
    ],
)
def test_unusable_audio_is_refused(pack, make, options, message):
    assert pack.error("AudioEncode", audio=make.audio(**options)) == refused(message)


@pytest.mark.parametrize(("value", "says"), [(float("nan"), "NaN"), (1e20, "full scale")])
def test_a_sample_beyond_any_scale_is_refused(pack, make, value, says):
    audio = make.audio()
    audio["waveform"][0, 0, 100] = value
    message = pack.error("AudioEncode", audio=audio)
    assert message.startswith(refused("'audio': audio AUDIO: a sample "))
    assert says in message
    assert message.endswith("export it again as 16-bit WAV")


def test_a_start_behind_the_end_is_refused(pack, make):
    message = pack.error("AudioEncode", audio=make.audio(0.5), start=3.0)
    assert message == refused("'start': audio start 3.0 s: AUDIO lasts 0.500 s; start earlier")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("start", -1.0, "use 0 or a later second"),
        ("duration", -1.0, "use more than 0 s"),
        ("mouth_strength", 3.5, "use 0 to 3"),
        ("loudness", 3.0, "use -70 to 0"),
    ],
)
def test_numbers_from_other_nodes_are_checked_too(pack, make, name, value, says):
    """Ranges of widgets bind what is typed, not what comes over a connection."""
    values = {"mouth_strength": 1.0, "start": 0.0, "duration": 0.0, "loudness": -23.0}
    node = pack.nodes["FlashTalk_AudioEncode"]
    with pytest.raises(ValueError, match=says) as caught:
        node.execute(make.audio(), **values | {name: value})
    assert str(caught.value).startswith(refused(f"'{name}': "))
