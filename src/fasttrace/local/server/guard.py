"""What every request passes: who asks, from where, and the headers of every answer."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "fasttrace_token"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether a host, an address or a name without its port, is this machine's loopback."""
    try:
        return host.rstrip(".").lower() == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(value: str) -> str:
    """The host of a ``Host`` field, lower case, without port and brackets; "" for what is none."""
    try:
        return (urlsplit(f"//{value}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _site_of(origin: str) -> str:
    """Host and port of an ``Origin`` field; "" for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


class Guard:
    """Refuses names that are not ours (DNS rebinding), other sites' scripts, and, with a token, those without it.

    Without a token only the loopback's names, and those in ``hosts``, are answered. With one, a browser that comes with
    ``?token=`` gets a cookie and is sent on to the address without it; programs send ``Authorization: Bearer``.
    """

    def __init__(self, app: ASGIApp, *, token: str | None = None, hosts: Collection[str] = (), csp: str = "") -> None:
        self.app = app
        self._token = token
        self._hosts = frozenset(host.lower() for host in hosts)
        self._headers = {**_HEADERS, "content-security-policy": csp} if csp else _HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or pass the request on; ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        app = self._refusal(scope) or self.app
        await app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = host_of(hosts[0]) if len(hosts) == 1 else ""
        if not host or not (self._token or is_loopback(host) or host in self._hosts):
            return _refuse(403, "this name is not one of this server's: use http://127.0.0.1 or http://localhost")
        if headers.get("sec-fetch-site", "") == "cross-site" and not _is_visit(scope, headers):
            return _refuse(403, "other sites may not read this")
        origin = headers.get("origin")
        if origin is not None and _site_of(origin) != hosts[0].lower():
            return _refuse(403, "other sites may not use this")
        return self._unauthorised(scope, headers) if self._token else None

    def _unauthorised(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        assert self._token is not None
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer.strip()):
            return None
        if self._is_token(_cookie(headers)):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if scope["method"] == "GET" and self._is_token(query.get("token", "")):
            welcome = RedirectResponse("/", 303)
            welcome.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", path="/")
            return welcome
        answer = _refuse(401, "this server wants its token: open the address that `fasttrace serve` printed")
        answer.headers["www-authenticate"] = "Bearer"
        return answer

    def _is_token(self, value: str) -> bool:
        return hmac.compare_digest(value.encode(), (self._token or "").encode())


def _is_visit(scope: Scope, headers: Headers) -> bool:
    """A link on another site that somebody followed, to the page itself."""
    return scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _refuse(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status)
