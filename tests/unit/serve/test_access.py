"""Who may use the server."""

import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.serve.access import Access
from flashtalk_core.serve.protocol import RefusedError

pytestmark = pytest.mark.cpu

LOCAL = {"Host": "127.0.0.1:8190"}
TOKEN = "secret"


@pytest.mark.parametrize("origin", ["foo", "example.org", "https://a.example/", "ftp://a.example"])
def test_what_is_no_origin_of_a_page_is_refused(origin):
    with pytest.raises(InvalidInputError, match="no page has such an origin"):
        Access(host="localhost", origins=(origin,))


def test_a_page_that_is_allowed_may_be_named_in_any_case():
    access = Access(host="localhost", origins=("https://A.example:8443",))
    access.check(LOCAL | {"Origin": "https://a.example:8443"})


@pytest.mark.parametrize("token", [" secret", "secret\n", "\u00a0"])
def test_a_token_that_no_header_brings_whole_is_refused(token):
    with pytest.raises(InvalidInputError, match="it begins or ends with a space"):
        Access(host="localhost", token=token)


@pytest.mark.parametrize("token", ["\udcff", "töken"])
def test_tokens_of_any_text_are_compared(token):
    with pytest.raises(RefusedError, match="no valid token"):
        Access(host="0.0.0.0", token=TOKEN).check({"Host": "a.example"}, token)
    Access(host="0.0.0.0", token=token).check({"Host": "a.example"}, token)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_on_loopback_no_token_is_needed(host):
    Access(host=host).check(LOCAL)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_elsewhere_a_token_is_needed(host):
    with pytest.raises(InvalidInputError, match="set --token"):
        Access(host=host)
    Access(host=host, token=TOKEN)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"Authorization": "Bearer secret"}, ""),
        ({"Authorization": "bearer  secret"}, ""),
        ({}, TOKEN),
    ],
)
def test_a_token_is_taken_from_headers_or_the_first_message(headers, token):
    Access(host="0.0.0.0", token=TOKEN).check({"Host": "a.example"} | headers, token)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, ""),
        ({}, "Secret"),
        ({"Authorization": "secret"}, ""),
        ({"Authorization": "Basic secret"}, ""),
        ({"Authorization": "Bearer "}, "secret"),
        ({"Authorization": "Bearer geh\u00e4im"}, ""),
    ],
)
def test_another_token_is_refused(headers, token):
    access = Access(host="0.0.0.0", token=TOKEN)
    with pytest.raises(RefusedError, match="no valid token") as error:
        access.check({"Host": "a.example"} | headers, token)
    assert error.value.code == "token"
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("localhost:8190", "http://localhost:8190", None),
        ("LocalHost:8190", "http://localhost:8190", None),
        ("127.0.0.1:8190", "", None),
        ("[::1]:8190", "http://[::1]:8190", None),
        ("localhost:8190", "https://tool.example", None),
        ("localhost:8190", "http://localhost:3000", "origin"),
        ("localhost:8190", "http://localhost", "origin"),
        ("localhost:8190", "https://evil.example", "origin"),
        ("localhost:8190", "null", "origin"),
        ("evil.example:8190", "http://evil.example:8190", "host"),
        ("evil.example", "", "host"),
        ("", "", "host"),
    ],
)
def test_pages_of_other_sites_are_refused(host, origin, code):
    access = Access(host="127.0.0.1", origins=("https://tool.example",))
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    if code is None:
        access.check_page(headers)
        return
    with pytest.raises(RefusedError) as error:
        access.check_page(headers)
    assert error.value.code == code


def test_a_page_without_a_site_is_told_what_helps():
    with pytest.raises(RefusedError, match="open it from a server"):
        Access(host="127.0.0.1").check_page({"Host": "localhost", "Origin": "null"})
