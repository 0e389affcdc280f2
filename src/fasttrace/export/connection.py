"""A connection that urllib3 has opened, from its second request on: the same bytes for a fraction of the CPU time.

urllib3 takes the settings of a request apart every time, and the answer's headers are parsed as those of a mail.
Here the head is made once and the usual answer is known by a pattern; any other one is read by the libraries,
which urllib3 has imported by then.
"""

from __future__ import annotations

import errno
import re
import time
import weakref

from fasttrace.context import UNTRACED, attach, detach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPResponse
    from typing import Any

# All of a short answer comes at once.
RECEIVED_BYTES = 65536

_FIELD = (
    rb"(?:(?!connection:|content-encoding:|content-length:|transfer-encoding:)[!-9;-~]+:|connection: keep-alive(?=\r))"
)
_FIELDS = rb"(?:" + _FIELD + rb"[^\r\n]*\r\n)*"
_USUAL = re.compile(
    rb"HTTP/1\.1 20[02] [^\r\n]*\r\n" + _FIELDS + rb"content-length: ?([0-9]{1,5})\r\n" + _FIELDS + rb"\r\n", re.I
)


class Connection:
    """The socket of a connection, which nobody else has, and the head of its requests.

    ``pool`` is urllib3's that has opened it: errors name it.
    """

    def __init__(self, sock: Any, head: tuple[bytes, bytes], pool: Any, target: str) -> None:
        self.pool = pool
        self._socket = sock
        # Also when both end in one cycle, of which the socket might be cleared first, with a warning.
        self._finalize = weakref.finalize(self, sock.close)
        self._head = head
        self._target = target
        self._answer: HTTPResponse | None = None

    def usable(self) -> bool:
        """Whether the other side has neither closed the connection nor said what nobody asked for."""
        import urllib3

        return self._socket.fileno() >= 0 and not urllib3.util.wait_for_read(self._socket, 0)

    @property
    def in_step(self) -> bool:
        """Whether the last answer was read to its end and leaves the connection open."""
        return self._answer is None or (self._answer.isclosed() and not self._answer.will_close)

    def post(self, body: bytes, deadline: float) -> bytes | Any:
        """One request: the body of the usual success, or urllib3's response, of which the body is still to be read.

        ``deadline`` is on ``time.monotonic()``. Raises urllib3's errors.
        """
        import urllib3

        before, behind = self._head
        self._answer = None
        try:
            self._socket.settimeout(_left(deadline))
            try:
                self._socket.sendall(b"%b%d%b" % (before, len(body), behind))
                # By itself, as urllib3 sends it: a copy of a large body costs more than a system call.
                self._socket.sendall(body)
            except OSError as error:
                # There may be an answer all the same, such as a refusal of what is too large.
                if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.EPROTOTYPE):
                    raise
            left = _left(deadline)
            try:
                self._socket.settimeout(left)
                received = self._socket.recv(RECEIVED_BYTES)
                usual = _USUAL.match(received)
                if usual is not None and len(received) == usual.end() + int(usual[1]):
                    return received[usual.end() :]
                return self._response(received, deadline)
            except TimeoutError as error:
                text = f"Read timed out. (read timeout={left})"
                raise urllib3.exceptions.ReadTimeoutError(self.pool, self._target, text) from error
        except urllib3.connection.BaseSSLError as error:
            raise urllib3.exceptions.SSLError(error) from error
        except (OSError, urllib3.connection.HTTPException) as error:
            raise urllib3.exceptions.ProtocolError("Connection aborted.", error) from error

    def _response(self, received: bytes, deadline: float) -> Any:
        import urllib3

        from fasttrace.export.answer import FinalResponse

        self._answer = answer = FinalResponse(self._socket, deadline=deadline, received=received, method="POST")
        answer.begin()
        return urllib3.HTTPResponse(
            answer,
            urllib3.HTTPHeaderDict(answer.headers.items()),
            answer.status,
            answer.version,
            preload_content=False,
            original_response=answer,
            pool=self.pool,
            request_method="POST",
        )

    def close(self) -> None:
        """Let go of it."""
        if self._answer is not None:
            self._answer.close()  # in a cycle of garbage its file might go first, with a complaint
        self._finalize.detach()  # calling it does nothing at exit
        self._socket.close()


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())


class Idle:
    """The connection that no request is using. Whoever takes it has it alone, until he puts it back or closes it."""

    def __init__(self) -> None:
        self._connections: list[Connection] = []
        self._closed = False

    def take(self, pool: Any) -> Connection | None:
        """One that this pool has opened and that still stands; any other is closed."""
        for found in self._all():
            if found.pool is pool and found.usable():
                return found
            found.close()
        return None

    def put(self, connection: Connection) -> None:
        """For the next request; after ``close`` there is none."""
        self._connections.append(connection)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close it, now or when it is put back."""
        self._closed = True
        for found in self._all():
            found.close()

    def _all(self) -> Iterator[Connection]:
        while self._connections:
            try:
                yield self._connections.pop()
            except IndexError:  # another thread was first
                return


class _Recorder:
    """A socket that remembers what is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def settimeout(self, _seconds: float | None) -> None:
        pass

    def close(self) -> None:
        pass


def take(connection: Any, pool: Any, target: str, headers: Mapping[str, str]) -> Connection | None:
    """Take its socket from urllib3's connection, on which a request has just gone well.

    None where that can't be, such as where somebody's patch of the libraries writes headers of its own.
    """
    sock, connection.sock = connection.sock, None
    if sock is None:
        return None
    head = _head(type(connection)(connection.host, connection.port), target, headers)
    if head is None:
        sock.close()
        return None
    return Connection(sock, head, pool, target)


def _head(connection: Any, target: str, headers: Mapping[str, str]) -> tuple[bytes, bytes] | None:
    """What a new connection of urllib3's would send before and behind a body's length; None when it can't be told."""
    connection.sock = recorder = _Recorder()
    token = attach(UNTRACED)  # no span for what is not sent
    try:
        connection.request("POST", target, body=b"", headers=headers)
    except Exception:  # a patch's, which must not undo what was delivered
        return None
    finally:
        detach(UNTRACED, token)
        connection.close()
    before, length, behind = recorder.sent.partition(b"\r\nContent-Length: 0\r\n")
    names = {line.partition(b":")[0].decode("latin-1").lower() for line in recorder.sent.split(b"\r\n")[1:]}
    if not length or not names <= {"", "host", "accept-encoding", "content-length", *map(str.lower, headers)}:
        return None
    return before + b"\r\nContent-Length: ", b"\r\n" + behind
