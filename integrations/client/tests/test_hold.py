"""Frames in hand while there is speech."""

from flashtalk_client import Frame, Hold, Idle, Played, Speaking

BEGIN, IDLE, PLAYED = Speaking(1), Idle(), Played(1, 1.0, interrupted=False)


def frames(text):
    """Return a frame for each letter: ``s`` speaks, ``.`` does not."""
    return [
        Frame(n, 1, 1, "rgb", b"xyz", b"", 1, is_held=False, is_speech=letter == "s")
        for n, letter in enumerate(text)
    ]


def shown(items):
    hold = Hold()
    return [[*hold.take(item)] for item in items]


def test_two_frames_are_in_hand_while_there_is_speech_and_none_in_silence():
    idle, *speech = frames(".ssss")
    after = frames("....")
    found = shown([idle, BEGIN, *speech, PLAYED, IDLE, *after])
    assert found == [
        [idle], [BEGIN], [], [], speech[:3], [speech[3]], [PLAYED], [IDLE],
        [], [], [after[2]], [after[3]],
    ]  # fmt: skip


def test_speech_shorter_than_that_is_not_kept_back():
    speech = frames("s")
    assert shown([BEGIN, *speech, PLAYED, IDLE]) == [[BEGIN], [], [*speech, PLAYED], [IDLE]]


def test_an_utterance_that_follows_at_once_is_not_delayed():
    speech = frames("ssssss")
    found = shown([BEGIN, *speech[:3], PLAYED, Speaking(2), *speech[3:]])
    assert found[-3:] == [[one] for one in speech[3:]]


def test_speech_after_a_short_silence_gathers_what_was_left_out_alone():
    speech, (idle,) = frames("ssssss"), frames(".")
    found = shown([BEGIN, *speech[:3], IDLE, idle, BEGIN, *speech[3:]])
    assert found[4:] == [[IDLE], [], [BEGIN], [], speech[3:5], [speech[5]]]
