"""What is asked for, checked before weights are read."""

import logging
from dataclasses import replace

import pytest
import torch
from PIL import Image

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.request import (
    AvatarRequest,
    PromptChange,
    check_request,
    warn_about_request,
)
from flashtalk_core.errors import InvalidInputError

pytestmark = pytest.mark.cpu

CONFIG = AvatarConfig()


def ask(**given):
    given = {"prompt": "", "size_px": CONFIG.size_px, "sampling": SamplingConfig()} | given
    return AvatarRequest(image=Image.new("RGB", (64, 64)), **given)


@pytest.mark.parametrize("size_px", [(30, 32), (32, 16), (4096, 32), (0, 0)])
def test_impossible_sizes_are_refused(size_px):
    with pytest.raises(InvalidInputError, match="try"):
        ask(size_px=size_px)


@pytest.mark.parametrize("second", [0, -1.0, float("nan"), float("inf")])
def test_a_change_comes_after_the_start(second):
    with pytest.raises(InvalidInputError, match=f"prompt change at {second} s: use a second after"):
        PromptChange(second, "smile")


@pytest.mark.parametrize("seconds", [(2, 1), (1, 1), (1, 3, 2)])
def test_changes_are_listed_in_order_each_once(seconds):
    with pytest.raises(InvalidInputError, match="list them in order of time, each once"):
        ask(prompt_changes=tuple(PromptChange(second, "a") for second in seconds))


def test_a_prompt_from_elsewhere_does_not_change():
    with pytest.raises(InvalidInputError, match=r"prompt changes \(1\): .* leave the changes out"):
        ask(context=torch.zeros(2, 4096), prompt_changes=(PromptChange(1, "a"),))


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_latent_is_decoded_at_once(count):
    with pytest.raises(InvalidInputError, match=f"decoded at once {count}: use 1 or more"):
        ask(num_decode_latents=count)


@pytest.mark.parametrize("shape", [(513, 4096), (5, 4095)])
def test_a_prompt_of_another_model_is_refused(shape):
    with pytest.raises(InvalidInputError, match="SoulX-FlashTalk-14B takes 1 to 512, 4096 wide"):
        check_request(ask(context=torch.zeros(shape)), CONFIG)


@pytest.mark.parametrize("shape", [(1, 256, 1280), (1, 257, 1024)])
def test_an_image_of_another_model_is_refused(shape):
    with pytest.raises(InvalidInputError, match="SoulX-FlashTalk-14B takes 257, 1280 wide"):
        check_request(ask(clip_tokens=torch.zeros(shape)), CONFIG)


def test_conditioning_that_fits_is_accepted_without_a_warning(caplog):
    given = {"context": torch.zeros(512, 4096), "clip_tokens": torch.zeros(1, 257, 1280)}
    check_request(ask(**given), CONFIG)
    warn_about_request(ask(**given), CONFIG)
    assert caplog.text == ""


def test_untried_sizes_warn(caplog):
    warn_about_request(ask(size_px=(32, 48)), CONFIG)
    assert "size 32x48: SoulX-FlashTalk-14B is known to work at 768x448 only" in caplog.text
    caplog.clear()
    warn_about_request(ask(size_px=(32, 48)), replace(CONFIG, known_sizes_px=((32, 48),)))
    assert caplog.text == ""


def test_chunks_the_model_was_not_trained_with_warn(caplog):
    warn_about_request(ask(chunk=ChunkConfig(num_frames=41, num_motion_frames=9)), CONFIG)
    assert "chunks of 41 frames, 9 of them motion frames: " in caplog.text
    assert "was trained with 33 and 5" in caplog.text


def test_a_shift_that_is_not_the_models_warns(caplog):
    config = replace(CONFIG, sampling=SamplingConfig(shift=3.0), name="InfiniteTalk")
    warn_about_request(ask(), config)
    assert "shift 5: InfiniteTalk's own is 3" in caplog.text
    caplog.clear()
    warn_about_request(ask(sampling=SamplingConfig(shift=3.0)), config)
    warn_about_request(ask(), config, is_training_known=False)
    assert "shift" not in caplog.text


def test_changes_behind_the_end_warn(caplog):
    changes = tuple(PromptChange(second, "a") for second in (1, 2.0, 3))
    with caplog.at_level(logging.WARNING):
        warn_about_request(ask(prompt_changes=changes), CONFIG, 2.0)
    openings = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert openings == ["prompt change at 2 s", "prompt change at 3 s"]


def test_the_models_chunks_are_used_unless_others_are_asked_for():
    other = ChunkConfig(num_frames=41)
    assert ask().chunk_of(CONFIG) == CONFIG.chunk
    assert ask(chunk=other).chunk_of(CONFIG) == other
