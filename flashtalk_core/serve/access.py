"""Who may use the server: a token, and pages of the server itself."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..errors import require
from ..excerpt import excerpt
from .limits import MAX_GUEST_BYTES, MAX_GUESTS
from .protocol import RefusedError

_BEARER = "bearer "


@dataclass(frozen=True, kw_only=True)
class Access:
    """What is asked of a request."""

    host: str
    """Address that the server listens at."""
    token: str = ""
    """Empty asks for none; then the server listens on loopback only."""
    origins: tuple[str, ...] = ()
    """Origins of pages that may use the server as well, as ``https://example.org``."""

    def __post_init__(self) -> None:
        require(
            bool(self.host.strip()), "--host: empty; use 0.0.0.0 for all addresses, or 127.0.0.1"
        )
        require(
            self.token == self.token.strip(),
            "--token: it begins or ends with a space, which headers lose; leave that out",
        )
        require(
            bool(self.token) or is_loopback(self.host),
            f"--host {self.host}: others can reach it; set --token, or use --host 127.0.0.1",
        )
        for origin in self.origins:
            parts = urlsplit(origin)
            require(
                parts.scheme in ("http", "https")
                and bool(parts.netloc)
                and origin == f"{parts.scheme}://{parts.netloc}",
                f"--allow-origin {excerpt(origin, 60)}: no page has such an origin; use scheme and "
                "host, https://example.org, with its port if it has one, without a path",
            )

    def check(self, headers: Mapping[str, str], token: str = "") -> None:
        """Check a request.

        Args:
            headers: Of the request.
            token: From a first message, where the headers have none.

        Raises:
            RefusedError: If it may not use the server.
        """
        self.check_page(headers)
        if not self.token:
            return
        given = headers.get("Authorization", "")
        if given.lower().startswith(_BEARER):
            token = given[len(_BEARER) :].strip()
        if not hmac.compare_digest(_bytes_of(token), _bytes_of(self.token)):
            raise RefusedError(
                "token",
                "no valid token: send 'Authorization: Bearer TOKEN', or 'token' in the first "
                "message",
            )

    def check_page(self, headers: Mapping[str, str]) -> None:
        """Check that a request is not of the page of another site.

        Raises:
            RefusedError: If it is.
        """
        host = headers.get("Host", "").lower()
        if not self.token and not is_loopback(_name_of(host)):
            # A page of another site whose name was made to lead here.
            raise RefusedError(
                "host", f"host {host!r}: without a token, use localhost or 127.0.0.1"
            )
        origin = headers.get("Origin", "").lower()
        if not origin or self.is_allowed(origin):
            return
        if origin == "null":
            raise RefusedError(
                "origin",
                "a page of no site, as a file or in a sandbox: open it from a server, and name "
                "that with --allow-origin",
            )
        if urlsplit(origin).netloc != host:
            raise RefusedError(
                "origin",
                f"page {origin!r} is of another site; start the server with --allow-origin "
                f"{origin} if it may use it",
            )

    def is_allowed(self, origin: str) -> bool:
        """Return whether pages of another site with this origin may use the server."""
        return origin.lower() in map(str.lower, self.origins)


class Guests:
    """Sockets whose clients have yet to show that they may use the server; on its loop."""

    def __init__(self, access: Access) -> None:
        """Begin without guests."""
        self.access = access
        self.num_guests = 0

    def admit(self, headers: Mapping[str, str]) -> Guest:
        """Let a client in, to send its first message.

        Raises:
            RefusedError: If too many are about to.
        """
        guest = Guest(self)
        try:
            guest.check(headers)
        except RefusedError:
            if self.num_guests > MAX_GUESTS:
                guest.leave()
                raise RefusedError(
                    "busy",
                    f"{MAX_GUESTS} clients have yet to send their token; send it in the headers, "
                    "or try again later",
                    5,
                ) from None
        return guest


class Guest:
    """One of them; it counts until its token was seen, or it leaves."""

    def __init__(self, guests: Guests) -> None:
        """Count it."""
        self._guests, self._is_counted = guests, True
        guests.num_guests += 1

    def check(self, headers: Mapping[str, str], token: str = "") -> None:
        """Check a token; see :meth:`Access.check`."""
        self._guests.access.check(headers, token)
        self.leave()

    @property
    def is_known(self) -> bool:
        """Whether it may use the server."""
        return not self._is_counted

    def check_size(self, num_bytes: int) -> None:
        """Check that a first message may be read; a long one is, of a client that is known.

        Raises:
            InvalidInputError: If it may not.
        """
        require(
            self.is_known or num_bytes <= MAX_GUEST_BYTES,
            f"first message of {num_bytes:,} bytes: at most {MAX_GUEST_BYTES:,} are read of a "
            "client that is not known; send the token in the headers, 'Authorization: Bearer "
            "TOKEN', to send more, as a portrait",
        )

    def leave(self) -> None:
        """Count it no longer."""
        self._guests.num_guests -= self._is_counted
        self._is_counted = False


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bytes_of(token: str) -> bytes:
    """Return any text; of a header's wrong bytes, and of JSON, halves of characters may be left."""
    return token.encode(errors="surrogatepass")


def _name_of(host: str) -> str:
    """Return a ``Host`` without its port."""
    return urlsplit(f"//{host}").hostname or ""
