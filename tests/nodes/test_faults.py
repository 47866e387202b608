"""How a fault of the user looks in ComfyUI's report and log."""

import logging
import traceback

import pytest

pytestmark = pytest.mark.cpu


@pytest.fixture
def caught(pack, make):
    """A fault as ComfyUI catches it."""
    error = pack["flashtalk_core.errors"].FlashTalkError
    with pytest.raises(error) as caught:
        pack.run("AudioEncode", audio=make.sound(), start=99.0)
    return caught


def test_its_type_is_short_wherever_the_pack_lies(pack, caught):
    assert f"{caught.type.__module__}.{caught.type.__qualname__}" == "flashtalk.InvalidInputError"
    errors = pack["flashtalk_core.errors"]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert {kind.__module__ for kind in kinds} == {"flashtalk"}


def test_it_is_logged_as_one_traceback(caught):
    text = "".join(traceback.format_exception(caught.value))
    assert text.count("Traceback (most recent call last)") == 1
    says = "flashtalk.InvalidInputError: FlashTalk Audio Encode, input 'start': "
    assert text.splitlines()[-1].startswith(says)


def test_where_it_began_is_there_for_who_looks(pack, make, caplog):
    caplog.set_level(logging.DEBUG)
    pack.fault("AudioEncode", audio=make.sound(), start=99.0)
    assert "FlashTalk Audio Encode: raised here" in caplog.text
    assert "in probe_sound\n" in caplog.text
