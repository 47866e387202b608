"""The player in a real browser, on a bare page, fed by the pack's own route."""

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser


def is_moving(before, after):
    """Whether frames were decoded between two looks, and something is on them."""
    assert after["time"] > before["time"]
    assert after["decoded"] > before["decoded"]
    return shows_image(after)


def shows_image(seen):
    # Flash, bar and ground of the stage: never black, never plain.
    return seen["mean"] > 30 and seen["spread"] > 10 and seen["width"] > 0


def test_it_plays_with_audio_while_it_is_made_and_becomes_the_file(run):
    seen = run("plays")
    assert is_moving(seen["first"], seen["later"])
    assert seen["first"]["src"].startswith("blob:")
    assert seen["later"]["ranges"][0][0] == 0
    assert len(seen["later"]["ranges"]) == 1
    assert (seen["later"]["muted"], seen["sound"]["muted"]) == (True, False)
    assert seen["sound"]["peak"] >= 0.05
    assert "/view?filename=show_" in seen["end"]["src"]
    assert "finished" in seen["end"]["status"]
    assert seen["duration"] == pytest.approx(8, abs=0.05)
    assert seen["end"]["time"] > 4  # it went on where it was
    assert not seen["pageErrors"]


def test_a_late_viewer_joins_near_the_newest_frame(run):
    seen = run("joinsLate")
    assert is_moving(seen["first"], seen["later"])
    # The encoder keeps 11 frames back, and the newest key frame is a chunk old at most.
    assert seen["newest"] - 3 < seen["first"]["ranges"][0][0] <= seen["last"]
    assert not seen["pageErrors"]


def test_a_slow_render_is_played_in_runs_and_never_stutters(run):
    seen = run("waits")
    runs = [(start, end) for start, end in seen["runs"] if end is not None]
    assert len(runs) >= 2
    first, *later = (end - start for start, end in runs)
    assert first > 0.15
    assert min(later) > 0.7
    # The browser has nothing left where a run ends, or nothing decoded yet where one starts.
    within = [at for at in seen["dry"] for start, end in runs if start + 0.2 < at < end - 0.2]
    assert not within
    assert "behind real time" in seen["status"]


def test_the_video_moves_before_a_second_chunk_is_done(run):
    seen = run("startsEarly")
    # In frames that were made, so that no clock decides: 1.2 x the 28 new ones of a chunk.
    assert seen["frames"] <= 33


def test_a_fast_render_is_watched_at_its_own_speed(run):
    seen = run("keepsPace")
    assert seen["rate"] == pytest.approx(1, abs=0.1)
    (start, end), *more = seen["later"]["ranges"]
    assert not more
    assert 40 < end - start <= 60
    assert seen["viewers"] == 0  # it stopped loading
    # What was seen 10 s ago is gone.
    (start, end), *more = seen["trimmed"]["ranges"]
    assert not more
    assert 9 < seen["trimmed"]["time"] - start < 20
    # Then the viewer asked for the newest frame, and got the file where it was.
    assert seen["newest"] - seen["live"]["time"] < 8
    assert seen["resumed"] == pytest.approx(160, abs=25)
    assert seen["mode"] == "file"


def test_tabs_and_nodes_share_a_stream(run):
    seen = run("isSharedByTabs")
    assert all(shows_image(seen[name]) for name in ("first", "second", "third"))
    assert seen["viewers"] == 3


def test_twenty_reloads_leave_one_viewer(run):
    seen = run("survivesReloads")
    assert shows_image(seen["end"])
    assert (seen["viewers"], seen["dropped"]) == (1, 0)
    assert not seen["pageErrors"]


def test_a_page_that_forbids_blobs_gets_a_plain_video(run):
    seen = run("fallsBackToPlain")
    assert is_moving(seen["first"], seen["later"])
    assert "/flashtalk/stream/" in seen["first"]["src"]
    assert "/view?" in seen["end"]["src"]


def test_a_browser_without_the_codec_leaves_the_node_to_images(run):
    seen = run("fallsBackToPictures")
    assert seen["end"]["mode"] == "images"
    assert re.fullmatch(r"No video in this browser \(.+\), images only", seen["end"]["status"])
    assert seen["viewers"] == 0  # so that the server sends images


def test_a_managed_source_says_when_it_wants_more(run):
    seen = run("playsByAManagedSource")
    assert is_moving(seen["first"], seen["later"])
    assert seen["isLocal"]  # without it, a managed source never opens
    assert seen["stopped"]
    assert seen["wentOn"]
    assert not seen["pageErrors"]


def test_an_unknown_session_is_said_and_breaks_nothing(run):
    seen = run("asksForAnUnknownSession")
    assert "before anything was rendered" in seen["end"]["status"]
    assert not seen["pageErrors"]


def test_a_restarted_server_is_said_and_what_it_left_plays(run):
    seen = run("noticesARestart")
    assert seen["end"]["status"].endswith(f"what was rendered is in {seen['name']}")
    assert seen["name"].endswith(".partial.mp4")
    assert shows_image(seen["end"])
    assert not seen["pageErrors"]


def test_the_end_is_requested_when_no_message_reports_it(run):
    seen = run("asksForTheEnd")
    assert "/view?filename=show_" in seen["end"]["src"]
    assert not seen["pageErrors"]


def test_a_deleted_file_is_said_to_be_gone(run):
    assert run("seesThatAFileIsGone")["end"]["mode"] == "idle"


def test_a_node_has_an_id_for_each_place_of_its_subgraph(run):
    seen = run("namesNodes")
    assert seen["ids"] == ["1:3", "2:7:3"]
    assert seen["host"] == ["2:7:3"]
    assert seen["answers"] == [True, False, True, False]
    assert seen["none"] == []


def test_the_end_of_the_server_is_said_and_what_came_is_kept(browser, own_stage):
    seen = browser.play("outlivesTheServer", own_stage)
    assert "connection lost" in seen["end"]["status"]
    assert shows_image(seen["end"])
    assert not seen["pageErrors"]


def test_an_interrupted_run_shows_what_it_left(run):
    seen = run("showsWhatAnInterruptedRunLeft")
    assert ".partial.mp4" in seen["end"]["src"]
    assert "interrupted after 3.4 of 30.0 s" in seen["end"]["status"]
    assert seen["duration"] == pytest.approx(84 / 25, abs=0.1)


def test_it_goes_on_after_being_moved_about_the_page(run):
    seen = run("survivesBeingMoved")
    assert shows_image(seen["end"])
    assert not seen["pageErrors"]


def test_it_makes_room_when_the_browser_is_full(run):
    seen = run("livesWithinItsQuota")
    assert seen["refused"] > 0
    assert shows_image(seen["end"])
    assert not seen["pageErrors"]


def test_buttons_do_what_they_say(run):
    seen = run("obeysItsButtons")
    assert (seen["idle"]["mode"], seen["idle"]["src"]) == ("idle", "")
    assert seen["stopped"]["paused"]
    assert seen["still"]["time"] == seen["stopped"]["time"]
    assert not seen["again"]["paused"]
    assert seen["full"]


def test_the_types_in_js_agree():
    here = Path(__file__).parent
    compiler = here / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        pytest.skip("needs typescript: npm ci in tests/js")
    done = subprocess.run(
        [compiler, "-p", "jsconfig.json"], cwd=here, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
