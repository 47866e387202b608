"""Access control of streams: requests of the page that renders are served, others are refused.

An id of 24 random bytes is the first protection. These rules are for one that leaked: into a log, a
screenshot, the page of another site. ComfyUI refuses some of it itself (``server.py``,
``create_origin_only_middleware``), and nothing any more with ``--enable-cors-header``, which opens
the server on purpose.
"""

from __future__ import annotations

import logging
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from comfy.cli_args import args

from ...flashtalk_core.excerpt import excerpt
from ...flashtalk_core.log import printable_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from aiohttp import web
    from yarl import URL

_log = printable_log(logging.getLogger(__name__))

MAX_HOSTS = 8
"""Most addresses remembered of the page of one stream."""
_OWN_SITE = ("same-origin", "none")
"""``Sec-Fetch-Site`` of the server's own page, and of an address typed by hand."""
# Suffixes that cannot be registered; and a name without a dot is of the own network.
_LOCAL_NAMES = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
_MAX_LOGGED = 5


def open_to() -> str:
    """Return the origin whose pages may read everything, ``*`` for all, empty for none."""
    return str(getattr(args, "enable_cors_header", None) or "")


def page_addresses(server: Any, client: str) -> frozenset[str] | None:
    """Return hosts and ports at which the page of ``client`` sees the server.

    They are those of its socket: the one by which it gets the id of a stream.

    Returns:
        None, one or two; ``None`` if the page has a socket that does not say.
    """
    page = getattr(server, "sockets", {}).get(client)
    if page is None:
        return frozenset()
    headers = getattr(getattr(page, "_req", None), "headers", None)  # aiohttp has no public name
    if headers is None:
        return None
    # A proxy may call the server by another name; the browser sends the one that it used.
    found = {headers.get("Host", ""), headers.get("Origin", "").rpartition("//")[2]}
    return frozenset(address.lower() for address in found if address)


def why_foreign(request: web.BaseRequest, page: Set[str] | None) -> str:
    """Return the reason why a request is not of the page that renders, empty if it may be.

    Args:
        request: Of a stream.
        page: From :func:`page_addresses`; ``None`` if it is not known.
    """
    opened = open_to()
    if opened == "*" or (opened and opened in _origins(request.headers)):
        return ""
    site = request.headers.get("Sec-Fetch-Site", "")
    if site and site not in _OWN_SITE:
        return f"Sec-Fetch-Site: {site}"
    origin = request.headers.get("Origin", "")
    # A browser that calls the page its own has compared more than can be compared here.
    if origin and site != "same-origin" and not _is_own_origin(origin, request.headers, page or ()):
        return f"Origin: {origin}"
    host = request.headers.get("Host", "")
    if page is not None and not _is_own_host(host.lower(), page):
        return f"Host: {host}"
    return ""


def log_refusal(why: str) -> None:
    """Log the first few refusals: a proxy may be set up in an unusual way."""
    logged = _logged()
    if why in logged or len(logged) >= _MAX_LOGGED:
        return
    logged.append(why)
    _log.warning(
        "the live video was not sent to a page of another site (%s); if it is your own, let the "
        "proxy in front of ComfyUI pass the Host header on, or use --enable-cors-header",
        excerpt(why, 120),
    )


@cache
def _logged() -> list[str]:
    return []


def _origins(headers: Mapping[str, str]) -> list[str]:
    """Return the origins that a request names; one for an image or a video has a referrer only."""
    referrer = _url(headers.get("Referer", ""))
    own = str(referrer.origin()) if referrer is not None and referrer.absolute else ""
    return [headers.get("Origin", ""), own]


def _is_own_origin(origin: str, headers: Mapping[str, str], page: Set[str] | tuple[()]) -> bool:
    url = _url(origin)
    if url is None or not url.host:
        return False  # "null": a file, or a frame that is shut off
    forwarded = headers.get("X-Forwarded-Host", "").split(",")
    hosts = [headers.get("Host", ""), *(each.strip() for each in forwarded), *page]
    return any(_is_same(url, host.lower()) for host in hosts if host)


def _is_same(origin: URL, host: str) -> bool:
    """Compare as ComfyUI does: ports count where both sides name one."""
    other = _url(f"{origin.scheme}://{host}")
    if other is None or origin.host != other.host:
        return False
    ports = origin.explicit_port, other.explicit_port
    return None in ports or ports[0] == ports[1]


def _is_own_host(host: str, page: Set[str]) -> bool:
    """Whether no stranger can have made up a name that leads here (DNS rebinding)."""
    url = _url(f"http://{host}")
    if url is None:
        return False
    name = (url.host or "").rstrip(".")
    if "." not in name or name.endswith(_LOCAL_NAMES) or name in map(_name, page):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """Return a host without its port."""
    url = _url(f"http://{host}")
    return ((url.host if url is not None else "") or "").rstrip(".")


def _url(text: str) -> URL | None:
    from yarl import URL

    try:
        url = URL(text)
        _ = url.explicit_port  # parsed on access
    except ValueError:
        return None
    return url
