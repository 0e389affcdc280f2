"""requests: a CLIENT span for every request that is sent, redirects included (OpenTelemetry, "HTTP client").

``instrument()`` traces every session of the process, ``instrument(session)`` one. A span lasts as long as the adapter's
``send``, until the response's headers: with retries (``max_retries``) it spans all attempts. The second one on is a
span inside of it where urllib3 is instrumented, too; otherwise ``http.request.resend_count`` says how many there were.
"""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter

from fasttrace.integrations._client import Client
from fasttrace.integrations._patch import Patch, replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from fasttrace.integrations._client import Skip

__all__ = ["instrument", "uninstrument"]


class _Sent(str):
    """A header that was sent; copies of a request, as redirects and digest authentication make them, have it, too."""

    __slots__ = ("times",)
    times: int

    def __reduce__(self) -> Any:
        return str, (str(self),)


class _Requests(Client):
    library = "requests"
    _marked = "traceparent"

    def inject(self, request: requests.PreparedRequest, headers: Mapping[str, str]) -> None:
        times = self.resent(request) + 1
        for name, value in headers.items():
            request.headers[name] = value
        if headers:
            self._marked = name = next(iter(headers))
            request.headers[name] = sent = _Sent(headers[name])
            sent.times = times

    def resent(self, request: requests.PreparedRequest) -> int:
        sent = request.headers.get(self._marked)
        return sent.times if type(sent) is _Sent else 0

    def answer(self, response: requests.Response) -> tuple[int, Any, Any]:
        return response.status_code, getattr(response.raw, "version", None), response.headers

    def retried(self, response: requests.Response) -> int:
        return len(getattr(getattr(response.raw, "retries", None), "history", ()))


def instrument(
    session: requests.Session | None = None,
    *,
    skip: Skip = None,
    capture_headers: Iterable[str] = (),
    capture_query: Iterable[str] = (),
    trace_response: bool = False,
) -> None:
    """Trace one session, or with none given every session of the process, those that exist included.

    Calling it again changes nothing. Process-wide, adapters that do not inherit from ``HTTPAdapter`` are left alone.
    The options are those of ``_client.Client``.
    """
    traced = _Requests(skip, capture_headers, capture_query, trace_response)
    if session is None:
        replace(HTTPAdapter, "send", _make, traced)
        return
    for adapter in session.adapters.values():
        replace(adapter, "send", _make, traced)
    replace(session, "mount", _make_mount, traced)


def uninstrument(session: requests.Session | None = None) -> None:
    """Undo ``instrument`` for one session, or the process-wide one. Calling it again changes nothing."""
    if session is None:
        restore(HTTPAdapter, "send")
        return
    restore(session, "mount")
    for adapter in session.adapters.values():
        restore(adapter, "send")


def _make(original: Any, patch: Patch) -> Any:
    def send(self: Any, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        traced = patch.options
        if traced is None:
            return original(self, request, *args, **kwargs)
        return traced.send(request, lambda: original(self, request, *args, **kwargs))

    return send


def _make_mount(original: Any, patch: Patch) -> Any:
    def mount(self: requests.Session, prefix: str, adapter: Any) -> None:
        original(self, prefix, adapter)
        if patch.options is not None:
            replace(adapter, "send", _make, patch.options)

    return mount
