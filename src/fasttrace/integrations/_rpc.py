"""What clients and servers of RPC have in common (OpenTelemetry semantic conventions, "RPC" and "gRPC").

Spans are named by the method, ``shop.Stock/Reserve``. A status is known by its word, ``NOT_FOUND``.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from urllib.parse import unquote

from fasttrace import config
from fasttrace._core import StatusCode
from fasttrace._version import __version__
from fasttrace.integrations._http import split_authority
from fasttrace.integrations._secrets import clean_text
from fasttrace.integrations._server import matcher
from fasttrace.process import get_tracer
from fasttrace.propagation.carrier import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from fasttrace._core import Span, Tracer

    Skip = Iterable[str] | Callable[[str], bool] | None

__all__ = [
    "CANCELLED",
    "OK",
    "SERVER_ERRORS",
    "UNKNOWN",
    "Calls",
    "address_of",
    "answered",
    "attributes_of",
    "captured",
    "name_of",
    "skipped_by_default",
    "text_of",
    "word_of",
]

# By their numbers (gRPC, "Status codes and their use in gRPC").
CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
OK, CANCELLED, UNKNOWN, *_ = CODES
# What a server has to answer for; anything else is its callers' affair.
SERVER_ERRORS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
_PORTLESS = ("unix", "unix-abstract", "vsock")


class Calls:
    """How the calls of a client or a server are traced.

    ``skip``: paths of methods of which nothing is recorded, ``*`` for anything (``{"/grpc.health.v1.Health/*"}``), or a
    function of the path that returns True for those. ``capture_metadata``: the names of metadata to be recorded.
    ``tracer``: by default the process's.
    """

    __slots__ = ("_skip", "request_metadata", "response_metadata", "tracer")

    def __init__(
        self, library: str, skip: Skip = None, capture_metadata: Iterable[str] = (), tracer: Tracer | None = None
    ) -> None:
        self.tracer = tracer or get_tracer(f"fasttrace.integrations.{library}", __version__)
        if isinstance(skip, str):
            skip = (skip,)
        if isinstance(skip, re.Pattern):
            search = skip.search
            self._skip: Callable[[str], bool] | None = lambda path: search(path) is not None
        else:
            self._skip = skip if skip is None or callable(skip) else matcher(skip)
        if isinstance(capture_metadata, str):
            capture_metadata = (capture_metadata,)
        names = [name.lower() for name in capture_metadata]
        self.request_metadata = {name: f"rpc.request.metadata.{name}" for name in names}
        self.response_metadata = {name: f"rpc.response.metadata.{name}" for name in names}

    def skips(self, path: str) -> bool:
        """Whether nothing is to be recorded of the calls of this method."""
        if self._skip is None:
            return False
        try:
            return self._skip(path)
        except Exception:  # a function of the user's: the call goes on, traced
            return False


def skipped_by_default() -> Iterable[str]:
    """What servers skip unless they are told otherwise: FASTTRACE_SKIP_PATHS, or OpenTelemetry's pattern."""
    found: Iterable[str] = config.from_environment("skip_paths", os.environ)
    return found


def name_of(path: str) -> str:
    """The name of a method, of which HTTP/2 has the path: ``/shop.Stock/Reserve``."""
    return path[1:] if path.startswith("/") else path or "RPC"


def attributes_of(system: str, path: str) -> dict[str, Any]:
    """What is known of a call before it has begun."""
    return {"rpc.system.name": system, "rpc.method": name_of(path)}


@lru_cache(maxsize=256)
def address_of(target: str) -> tuple[str, int | None]:
    """Address and port of a gRPC target or peer; the port None where there is none.

    ``stock:50051``, ``dns:///stock:50051``, ``ipv6:%5B::1%5D:50051``, ``unix:/run/stock.sock``; of several, the first.
    """
    scheme, colon, rest = target.partition(":")
    if scheme in _PORTLESS and colon:
        return rest.removeprefix("//"), None
    if colon and (scheme in ("dns", "ipv4", "ipv6") or "://" in target):
        target = rest.rpartition("/")[2] if rest.startswith("//") else rest
    first = unquote(target).partition(",")[0]
    if first.count(":") > 1 and "[" not in first:
        return first, None
    return split_authority(first, "")


def word_of(code: Any) -> str:
    """The word of a gRPC status, which may be a number; "" for None."""
    if isinstance(code, int):
        return CODES[code] if 0 <= code < len(CODES) else "UNKNOWN"
    return "" if code is None else getattr(code, "name", "UNKNOWN")


def text_of(details: Any) -> str | None:
    """What a status says, which may be bytes."""
    return details.decode("utf-8", "replace") if isinstance(details, bytes) else details


def answered(span: Span, code: str, details: str | None, errors: Callable[[str], bool]) -> None:
    """Put on a span how its call ended: ``errors`` says which codes make it an error."""
    span.set_attribute("rpc.response.status_code", code)
    if errors(code):
        span.set_attribute("error.type", code)
        span.set_status(StatusCode.ERROR, clean_text(details) if details else None)


def captured(metadata: Any, names: dict[str, str]) -> dict[str, list[str]]:
    """The attributes of the listed metadata that are there; nothing of binary ones, which are no text."""
    found = {}
    for name, attribute in names.items():
        texts = [] if name.endswith("-bin") else values(metadata or (), name)
        if texts:
            found[attribute] = texts
    return found
