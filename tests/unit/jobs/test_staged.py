"""Jobs whose frames go through a stage, or whose video has another sound than the speech."""

import logging
from dataclasses import replace

import av
import numpy as np
import pytest

from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.engine.notes import render_notes
from flashtalk_core.jobs.record import JobRecord
from flashtalk_core.media.audio.probe import measure_soundtrack, probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.stages.interpolation import InterpolateStage
from flashtalk_core.stages.stage import chain
from flashtalk_core.stages.upscaling import UpscaleStage
from tests.unit.jobs.conftest import CHUNK
from tests.unit.stages.test_stages import Blurred, Mean

pytestmark = pytest.mark.cpu


@pytest.fixture
def staged(plan):
    """Five chunks of 4 generated frames each, 8 of twice the size in the file."""
    return replace(plan, stage=chain([InterpolateStage(Mean()), UpscaleStage(Blurred())]))


def tone(seconds, rate_hz, channels=2, hz=440):
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = np.sin(2 * np.pi * hz * time_s).astype(np.float32) * 0.3
    return probe_audio(AudioArray("mix", np.stack([wave] * channels), rate_hz))


def test_frames_are_larger_and_more_and_the_sound_stays_exact(staged, open_job, engine, tmp_path):
    events, job = [], open_job(staged)
    job.render(engine, EventHandlers(frames=lambda frames: events.append(tuple(frames.shape))))
    measured = measure_video(tmp_path / "a.mp4", frame_rate_hz=50)
    assert (measured.num_frames, measured.is_exact, measured.num_samples) == (36, True, 11_520)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.height == 64
    # Who follows the render counts what is generated.
    assert job.num_frames == sum(shape[0] for shape in events) == 18
    assert {shape[1:] for shape in events} == {(32, 32, 3)}


@pytest.mark.parametrize("seconds", [0.41, 0.43])
def test_no_frame_begins_after_the_sound(make_plan, open_job, engine, tmp_path, seconds):
    plan = make_plan(chunk=CHUNK, seconds=seconds)
    open_job(replace(plan, stage=InterpolateStage(Mean()))).render(engine)
    measured = measure_video(tmp_path / "a.mp4", frame_rate_hz=50)
    assert (measured.num_frames, measured.is_exact) == (np.ceil(seconds * 50), True)


def test_an_interrupted_one_goes_on_to_the_same_file(
    staged, open_job, engine, tmp_path, monkeypatch
):
    open_job(staged, name="whole.mp4").render(engine)
    real = JobRecord.write

    def write_and_stop(record, path):
        real(record, path)
        if record.chunk_index == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(JobRecord, "write", write_and_stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        open_job(staged).render(engine)
    assert "the first 16 of 36 frames are in" in caught.value.__notes__[0]
    job = open_job(staged)
    assert (job.num_done, job.num_chunks_done) == (8, 2)
    job.render(engine)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("change", ["scale", "nothing", "soundtrack"])
def test_another_stage_or_soundtrack_begins_anew(
    staged, open_job, engine, monkeypatch, change, caplog
):
    def stop(_state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_job(staged).render(engine, EventHandlers(state=stop))
    other = {
        "scale": replace(staged, stage=UpscaleStage(Blurred(), 1.5)),
        "nothing": replace(staged, stage=None),
        "soundtrack": replace(staged, soundtrack=tone(0.72, 16_000)),
    }[change]
    with caplog.at_level(logging.WARNING):
        assert open_job(other).num_done == 0
    assert "an interrupted render is there, and this one starts anew" in caplog.text
    assert open_job(staged).num_done == 4


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_the_soundtrack_is_heard_and_lasts_as_long_as_the_speech(
    plan, open_job, engine, tmp_path, seconds
):
    with_mix = replace(plan, soundtrack=tone(seconds, 44_100))
    open_job(with_mix).render(engine)
    measured = measure_video(tmp_path / "a.mp4")
    assert (measured.num_frames, measured.is_exact) == (18, True)
    assert (measured.num_samples, measured.rate_hz) == (round(0.72 * 44_100), 44_100)
    with av.open(str(tmp_path / "a.mp4")) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    heard = np.concatenate(blocks, axis=1)[0]
    tones = np.abs(np.fft.rfft(heard[: round(0.5 * 44_100)]))
    assert tones.argmax() * 2 == pytest.approx(440, abs=4)
    silent = np.abs(heard[round(0.55 * 44_100) : round(0.7 * 44_100)]).max() < 0.01
    assert silent == (seconds < 0.6)
    assert any("silence follows" in note for note in render_notes(with_mix)) == silent
    assert with_mix.fingerprint() == plan.fingerprint()  # nothing of it is seen


def test_a_soundtrack_that_ended_before_the_speech_begins_is_silence(
    plan, open_job, engine, tmp_path, caplog
):
    mix = AudioArray("mix", np.full((2, 22_050), 0.3, np.float32), 44_100)
    over = replace(plan, soundtrack=measure_soundtrack(mix, 3.0, plan.audio))
    note = "soundtrack mix: it ends before second 3, so the video will be silent"
    assert caplog.messages == [note]
    assert note in render_notes(over)
    open_job(over).render(engine)
    measured = measure_video(tmp_path / "a.mp4")
    assert (measured.num_frames, measured.is_exact) == (18, True)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert not any(frame.to_ndarray().any() for frame in container.decode(audio=0))
