"""Plans of live sessions: what a render has and a session has not."""

import pytest

from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, Speaker
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.live.plan import plan_live

pytestmark = pytest.mark.cpu


def test_a_session_hears_one_speaker():
    spec = RenderSpec(speakers=(Speaker(mask="left"), Speaker(mask="right")))
    with pytest.raises(InvalidInputError, match=r"^speakers 2: a live session hears one") as caught:
        plan_live(spec)
    assert caught.value.subject == "speakers"


def test_a_session_is_drawn_on_this_host():
    spec = RenderSpec(placement=PlacementSpec(cluster="10.0.0.1:6379"))
    says = r"^cluster 10\.0\.0\.1:6379: live sound is drawn on devices of this host"
    with pytest.raises(InvalidInputError, match=says) as caught:
        plan_live(spec)
    assert caught.value.subject == "cluster"
