"""Cache of encodings."""

import pytest
import torch

from flashtalk_core.engine.encoding_cache import EncodingMemo

pytestmark = pytest.mark.cpu


def test_what_is_kept_is_found_under_its_key_alone():
    memo = EncodingMemo()
    encoding = torch.ones(2)
    assert memo.find("a") is None
    assert memo.store("a", encoding) is encoding
    assert torch.equal(memo.find("a"), encoding)
    assert memo.find("b") is None


def test_the_least_recently_used_render_is_evicted_first():
    memo = EncodingMemo(capacity=2)
    memo.store("a", torch.ones(1))
    memo.store("b", torch.ones(1))
    memo.find("a")
    memo.store("c", torch.ones(1))
    assert [memo.find(key) is not None for key in "abc"] == [True, False, True]


def test_a_key_is_kept_once_with_its_last_value():
    memo = EncodingMemo(capacity=1)
    memo.store("a", torch.zeros(1))
    memo.store("a", torch.ones(1))
    assert torch.equal(memo.find("a"), torch.ones(1))


def test_another_seed_encodes_nothing_again(make_plan, networks, monkeypatch):
    from flashtalk_core.engine.build import build_avatar

    memo, used = EncodingMemo(), []
    acquire = networks.acquire
    monkeypatch.setattr(
        networks, "acquire", lambda kind: used.append(kind.__name__) or acquire(kind)
    )
    build_avatar(make_plan(), None, networks, memo=memo)
    assert {"TextEncoder", "ClipVision", "VideoVAE"} < set(used)
    used.clear()
    build_avatar(make_plan(seed=3, steps=2), None, networks, memo=memo)
    assert {"TextEncoder", "ClipVision", "VideoVAE"}.isdisjoint(used)
    build_avatar(make_plan(prompt="another"), None, networks, memo=memo)
    assert "TextEncoder" in used
    assert "ClipVision" not in used


def test_a_portrait_that_is_kept_is_the_one_that_was_encoded(make_plan, networks):
    from flashtalk_core.engine.build import build_avatar

    memo = EncodingMemo()
    encoded, kept, other = (
        build_avatar(make_plan(**given), None, networks, memo=memo).references._portrait
        for given in ({}, {"seed": 3}, {"size_px": (48, 32)})
    )
    for name in ("condition", "clip_tokens", "motion_latent"):
        first, again = getattr(encoded, name), getattr(kept, name)
        assert (first.dtype, first.device) == (again.dtype, again.device)
        assert torch.equal(first, again)
    assert torch.equal(encoded.colour.mean, kept.colour.mean)
    assert other.condition.shape != encoded.condition.shape
