"""Paths from outside."""

import os
import socket

import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.files.paths import (
    check_file,
    entries,
    folder_problem,
    is_file,
    is_folder,
    user_path,
)

pytestmark = pytest.mark.cpu

LONG = "a" * 5000


def refusal(path):
    with pytest.raises(InvalidInputError) as caught:
        check_file(path, "audio")
    message = str(caught.value)
    assert message.startswith("audio ")
    assert message.isprintable()
    assert len(message) < 800
    return message


def test_a_file_is_measured(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    assert check_file(tmp_path / "a", "audio") == 3


def test_what_is_no_file_is_reported_by_its_kind(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    assert "this is a pipe" in refusal(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        server.bind("socket")
        assert "this is a socket" in refusal(tmp_path / "socket")
    assert "this is a folder; name a file in it" in refusal(tmp_path)
    assert "this is a device" in refusal("/dev/zero")


def test_a_process_substitution_is_a_pipe():
    read, write = os.pipe()
    try:
        assert "save it as a file first" in refusal(f"/dev/fd/{read}")
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("https://example.org/a.wav", "https://example.org/a.wav: an address, which is not read"),
        ("https:/example.org/a.wav", "https://example.org/a.wav: an address, which is not read"),
        ("RTSP://host//b", "RTSP://host//b: an address"),
        ("file:///home/a.wav", "write the path that follows 'file://'"),
        ("c:/a.wav", "c:/a.wav: no such file"),
        ("", "audio '': no name; name a file"),
        (" ", "audio ' ': no name; name a file"),
        ("a:b", "a:b: no such file"),
        (LONG, "File name too long"),
        ("a\0b", "embedded null"),
        ("gone\udce9\x1b[2J\u202e\n", "gone\\xe9\\x1b[2J\\u202e : no such file"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_there(path, said):
    assert said in refusal(path)


def test_path_queries_never_raise(tmp_path):
    for strange in (LONG, "a\0b", "loop/x"):
        assert not is_file(tmp_path / strange)
        assert not is_folder(tmp_path / strange)
        assert entries(tmp_path / strange) == []
        assert folder_problem(tmp_path / strange)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert not is_file(tmp_path / "loop")
    assert folder_problem(tmp_path) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("~nosuchuser/x", "no home folder is known for this user"),
        ("", "no name"),
        (" ", "no name"),
        ("~" + LONG, "no home folder"),
    ],
)
def test_names_that_a_user_cannot_mean(text, said):
    with pytest.raises(InvalidInputError, match=said) as caught:
        user_path(text, "model")
    assert len(str(caught.value)) < 800


def test_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a", "model") == tmp_path / "a"
