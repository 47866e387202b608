"""Two Speakers: two voices or one recording with turns, masks, and what does not go together."""

import re

import pytest
import torch

pytestmark = pytest.mark.cpu


@pytest.fixture
def speech(pack, make):
    def encode(seconds=0.3, **given):
        return pack.run("AudioEncode", audio=make.audio(seconds), **given).args[0]

    return encode


@pytest.fixture
def reference(pack, make):
    return pack.reference(make.portrait(64, 128), **{"size.width": 64, "size.height": 32})


@pytest.fixture
def chunks(pack, model, reference):
    def sample(described):
        given = {"model": model, "speech": described, "reference": reference}
        return pack.run("ChunkSampler", **given).args[0]

    return sample


def test_both_voices_and_masks_arrive_in_the_plan(pack, chunks, speech):
    masks = [torch.zeros(1, 64, 128), torch.zeros(64, 128)]
    masks[0][:, :, :40], masks[1][:, 90:] = 1, 1
    described = pack.run(
        "TwoSpeakers",
        speech=speech(),
        speech_2=speech(0.2),
        start_2=0.2,
        mask_1=masks[0],
        mask_2=masks[1],
        routing="rotary",
    ).args[0]
    plan = chunks(described).plan
    assert plan.routing == "rotary"
    assert plan.audio.duration_s == pytest.approx(0.4)
    assert [each.mask.getbbox() for each in plan.speakers] == [(0, 0, 40, 64), (90, 0, 128, 64)]
    assert "of a second speaker" in repr(described)


def test_one_recording_is_divided_by_turns(pack, chunks, speech):
    one = speech()
    described = pack.run(
        "TwoSpeakers", speech=one, turns="1: 0-0.1, 2: 0.1-0.3", places="right, left"
    ).args[0]
    plan = chunks(described).plan
    assert (plan.routing, plan.audio) == ("regions", one.audio)
    boxes = [each.mask.getbbox() for each in plan.speakers]
    assert boxes[0][0] > boxes[1][2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"input 'speech_2': speech_2: nothing is connected, and no turns"),
        ({"turns": "1: 0-9"}, r"input 'turns': turns '1: 0-9': speaker 2 has none"),
        ({"start": 0.1}, r"input 'speech_2': speech_2: start, duration and loudness 0.1, 0, -23"),
        ({"mouth_strength": 2}, r"input 'speech_2': speech_2: mouth_strength 2, that of"),
        ({"mask_1": 1}, r"input 'mask_2': mask_2: nothing is connected; connect both"),
    ],
)
def test_what_is_missing_or_does_not_go_together(pack, speech, given, message):
    given = dict(given)
    if "mask_1" in given:
        given |= {"mask_1": torch.ones(1, 8, 8), "turns": "1: 0-1, 2: 1-2"}
    if "start" in given or "mouth_strength" in given:
        given = {"speech_2": speech(**given)}
    assert re.search(message, pack.error("TwoSpeakers", speech=speech(), **given))


def test_turns_of_a_speaker_that_are_all_after_the_end_are_refused(pack, model, reference, speech):
    described = pack.run("TwoSpeakers", speech=speech(), turns="1: 0-0.3, 2: 7-9").args[0]
    said = pack.error("ChunkSampler", model=model, speech=described, reference=reference)
    assert "input 'speech': turn 2: 7-9: the audio lasts 0.30 s, so speaker 2 is never" in said


@pytest.mark.parametrize("number", [1, 2])
def test_an_empty_mask_is_told_at_its_input(pack, speech, number):
    masks = {f"mask_{each}": torch.full((1, 8, 8), float(each != number)) for each in (1, 2)}
    said = pack.error("TwoSpeakers", speech=speech(), speech_2=speech(0.2), start_2=0.3, **masks)
    assert f"input 'mask_{number}': mask_{number}: 0 of 64 pixels are white; paint" in said


def test_masks_of_another_size_are_refused_by_the_sampler(pack, model, reference, speech):
    masks = {"mask_1": torch.ones(1, 8, 8), "mask_2": torch.ones(1, 8, 8)}
    described = pack.run("TwoSpeakers", speech=speech(), speech_2=speech(0.2), **masks).args[0]
    said = pack.error("ChunkSampler", model=model, speech=described, reference=reference)
    assert "input 'speech': speaker 1's mask: 8x8 pixels, the portrait has 128x64" in said


@pytest.mark.parametrize("which", ["first", "second", "both"])
def test_a_soundtrack_lasts_as_long_as_both(pack, chunks, make, speech, which):
    mix = make.audio(1.0, 44_100, 2)
    first, second = (
        speech(0.2, **({"soundtrack": mix} if which in (name, "both") else {}))
        for name in ("first", "second")
    )
    described = pack.run("TwoSpeakers", speech=first, speech_2=second, start_2=0.3).args[0]
    plan = chunks(described).plan
    assert plan.audio.duration_s == plan.track.duration_s == pytest.approx(0.5)


def test_two_soundtracks_are_refused(pack, make, speech):
    both = [speech(0.2, soundtrack=make.audio(1.0, rate)) for rate in (44_100, 22_050)]
    said = pack.error("TwoSpeakers", speech=both[0], speech_2=both[1], start_2=0.3)
    assert "input 'speech_2': speech_2: both Audio Encode nodes have a soundtrack" in said
