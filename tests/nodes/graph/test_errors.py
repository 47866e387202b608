"""How a user's error looks in ComfyUI's report and log."""

import logging
import traceback

import pytest
import torch

pytestmark = pytest.mark.cpu


@pytest.fixture
def caught(pack, make):
    """An error as ComfyUI catches it."""
    error = pack["flashtalk_core.errors"].FlashTalkError
    with pytest.raises(error) as caught:
        pack.run("AudioEncode", audio=make.audio(), start=99.0)
    return caught


def test_the_error_type_has_a_short_name_wherever_the_pack_lies(pack, caught):
    assert f"{caught.type.__module__}.{caught.type.__qualname__}" == "flashtalk.InvalidInputError"
    errors = pack["flashtalk_core.errors"]
    base = errors.FlashTalkError
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    kinds = [kind for kind in kinds if issubclass(kind, base)]
    assert {kind.__module__ for kind in kinds} == {"flashtalk"}


def test_the_error_is_logged_as_one_traceback(caught):
    text = "".join(traceback.format_exception(caught.value))
    assert text.count("Traceback (most recent call last)") == 1
    says = "flashtalk.InvalidInputError: FlashTalk Audio Encode, input 'start': "
    assert text.splitlines()[-1].startswith(says)


def test_the_original_traceback_is_logged_at_debug_level(pack, make, caplog):
    caplog.set_level(logging.DEBUG)
    pack.error("AudioEncode", audio=make.audio(), start=99.0)
    assert "FlashTalk Audio Encode: raised here" in caplog.text
    assert "in probe_audio\n" in caplog.text


@pytest.fixture
def raised_inside(pack):
    """How a node shows an error that is raised while it runs."""

    def run(error):
        attribute_errors = pack["nodes.graph.errors"].attribute_errors
        try:
            with attribute_errors(pack.nodes["FlashTalk_ModelLoader"], "model"):
                raise error
        except Exception as caught:
            return caught

    return run


def test_memory_of_the_computer_that_ran_out_is_reported_with_a_remedy(raised_inside):
    error = RuntimeError("[enforce fail at a.cpp:1] . DefaultCPUAllocator: can't allocate memory")
    error.add_note("3 frames are in a.partial.mp4")
    caught = raised_inside(error)
    assert type(caught).__name__ == "NoMemoryError"
    assert str(caught) == (
        "FlashTalk Model Loader: out of memory (DefaultCPUAllocator: can't allocate memory); "
        "close other programs, or make the video smaller"
    )
    assert caught.__notes__ == ["3 frames are in a.partial.mp4"]


@pytest.mark.parametrize(
    ("subject", "named"),
    [("lora_strength", "lora_strength"), ("tokenizer", "text_encoder"), ("crf", "model"),
     (None, "model")],
)  # fmt: skip
def test_the_subject_of_an_error_names_the_input(pack, raised_inside, subject, named):
    error = pack["flashtalk_core.errors"].InvalidInputError("no good; use another", subject=subject)
    shown = raised_inside(error)
    assert str(shown) == f"FlashTalk Model Loader, input '{named}': no good; use another"
    assert shown.subject == subject


def test_every_subject_in_the_table_leads_to_an_input_of_some_node(pack):
    inputs = {each.id for node in pack.nodes.values() for each in node.define_schema().inputs}
    for names in pack["nodes.graph.errors"].INPUTS.values():
        assert set(names) <= inputs


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), KeyError("a")])
def test_what_comfyui_knows_itself_passes(raised_inside, error):
    assert raised_inside(error) is error
