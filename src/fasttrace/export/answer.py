"""An HTTP answer, read by the libraries: the last one to a request, within the time that there is for it.

``http.client`` takes the first for the last, though any number of interim ones (102 Processing, 103 Early Hints) may
come before it: RFC 9110, section 15.2. Its timeout is for each read: a head that comes byte by byte would never end.
"""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse

from urllib3 import poolmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class FinalResponse(HTTPResponse):
    """The answer after all interim ones. ``deadline`` is on ``time.monotonic()``; ``received`` is its beginning."""

    def __init__(self, sock: Any, *_: Any, deadline: float, received: bytes = b"", method: str | None = None) -> None:
        self.deadline: float = deadline
        super().__init__(_Timed(sock, deadline, received), method=method)  # type: ignore[arg-type]

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        while 100 <= self.status < 200 and self.status != 101:
            if time.monotonic() > self.deadline:
                raise TimeoutError("there were interim answers only")
            vars(self)["headers"] = None  # or it would take the head for read
            super().begin()


class _Timed(io.RawIOBase):
    """A socket for HTTPResponse, which asks it for a file: of all reads none goes much beyond the deadline."""

    def __init__(self, sock: Any, deadline: float, received: bytes) -> None:
        self._socket = sock
        # A connection that is to be closed is closed by its owner at once, and by this file at last.
        self._file = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        self._received = received

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if not self._received:
            # What has come counts however late it is looked at.
            self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
            return self._file.readinto(buffer)  # type: ignore[no-any-return]
        part = self._received[: len(buffer)]
        self._received = self._received[len(part) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Timely:
    """For a connection of urllib3's, which has the time for the answer in ``timeout``."""

    def response_class(self, sock: Any, *_: Any, method: str | None = None) -> FinalResponse:
        timeout: float = self.timeout  # type: ignore[attr-defined]
        return FinalResponse(sock, deadline=time.monotonic() + timeout, method=method)


def _timely(pool: Any) -> Any:
    """A class of urllib3's pools, whose connections read answers so. Errors show its name."""
    connection = pool.ConnectionCls
    return type(pool.__name__, (pool,), {"ConnectionCls": type(connection.__name__, (_Timely, connection), {})})


POOLS = {scheme: _timely(pool) for scheme, pool in poolmanager.pool_classes_by_scheme.items()}
