"""The control file: how `fasttrace sampling` reaches every process of a machine while they run.

It is read when it has changed, and looked at once a second at most. A file that can't be used changes nothing: the
last good setting stays in force, and the log says once what is wrong. No file asks for nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from fasttrace import _log
from fasttrace.config import folders
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import control_text
from fasttrace.sampling.control_text import Asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from typing import Any, TypeAlias

    Signature: TypeAlias = tuple[int, ...] | None

MAX_BYTES = 64 * 1024
EVERY_SECONDS = 1.0
# A recall of seconds is not widened by more, for a file that was there long before the process.
MAX_AGE_SECONDS = 3600.0
# The longest boost that a sampler takes; thirty years are for ever.
MAX_BOOST_SECONDS = 9e8


def default_path(environ: Mapping[str, str]) -> str:
    """``sampling.toml`` in the user's folder for state, beside what waits for a receiver."""
    return os.path.join(folders.state(environ), "sampling.toml")


def chosen_path(setting: str | None, environ: Mapping[str, str]) -> str | None:
    """The path for the setting ``control_file``: the default for None, and None for ``none``."""
    if setting is None:
        return default_path(environ)
    return None if setting.lower() == "none" else setting


class Control:
    """Watches one control file. ``check`` looks; ``asked`` is what the last good file asks for.

    ``age`` is how many seconds the file had been there when it was read, since an idle process reads it late.
    ``boost_deadline`` is the end of its boost on ``clock``, found when the file was read, so that a step of the wall
    clock moves no end; None without one. ``error`` says why the file that is there now is not in force, or is None.
    ``clock`` is monotonic, ``wall`` the time since 1970, both in seconds.
    """

    def __init__(
        self, path: str, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self.asked: Asked = Asked()
        self.boost_deadline: float | None = None
        self.error: str | None = None
        self.read_time: float | None = None
        self.age: float = 0.0
        self._clock = clock
        self._wall = wall
        self._next = float("-inf")
        self._signature: Signature = None
        self._refused: str | None = None

    def check(self) -> bool:
        """Read the file if a second has passed and it has changed; True when something else is asked for now."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + EVERY_SECONDS
        signature = _signature(self.path)
        # Without a file, whatever could not be read before is gone too.
        if signature == self._signature and (signature is not None or self.error is None):
            return False
        try:
            text, signature = read_safely(self.path)
            asked = Asked() if text is None else control_text.read(text)
        except ConfigurationError as error:
            self._signature = signature
            self._refuse(f"control file {self.path}: {error}")
            return False
        self._signature = signature
        self.error = self._refused = None
        self._take(asked, now)
        return True

    def _take(self, asked: Asked, now: float) -> None:
        boost, before = asked.boost, self.asked.boost
        if boost is None:
            self.boost_deadline = None
        elif before is None or before.until != boost.until or self.boost_deadline is None:
            self.boost_deadline = now + min(boost.until.timestamp() - self._wall(), MAX_BOOST_SECONDS)
        self.asked = asked
        self.read_time = self._wall()
        written = self.read_time if self._signature is None else self._signature[0] / 1e9
        self.age = min(max(0.0, self.read_time - written), MAX_AGE_SECONDS)

    def _refuse(self, text: str) -> None:
        self.error = text
        if text != self._refused:
            self._refused = text
            _log.line("WARNING", "%s; the last good setting stays in force", text)

    def state(self) -> dict[str, Any]:
        """What ``stats()`` tells of it."""
        asked = self.asked
        return {
            "path": self.path,
            "ratio": asked.ratio,
            "boost": None if asked.boost is None else asked.boost.ratio,
            "boost_seconds_left": None
            if self.boost_deadline is None
            else max(0.0, round(self.boost_deadline - self._clock(), 3)),
            "recall": None if asked.recall is None else asked.recall.id,
            "read_time": self.read_time,
            "error": self.error,
        }


def _signature(path: str) -> Signature:
    try:
        found = os.lstat(path)
    except OSError as error:
        return None if error.errno in (errno.ENOENT, errno.ENOTDIR) else (error.errno or 0,)
    return _of(found)


def _of(found: os.stat_result) -> tuple[int, ...]:
    # The mode and the owner too: mending them makes a refused file good.
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev, found.st_mode, found.st_uid)


def read_safely(path: str) -> tuple[str | None, Signature]:
    """The text of a control file and its signature; None without a file. Raises ConfigurationError for a bad one.

    Only a regular file, of this user or root, that not everybody can write: what it says decides what leaves the
    process. Links are not followed, and pipes and devices not waited for.
    """
    flags = os.O_RDONLY
    for name in ("O_CLOEXEC", "O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None, None
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise ConfigurationError("it is a link, a socket or a pipe: use a regular file") from None
        raise ConfigurationError(f"it can't be read ({error.strerror}): let this user read it") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError("it is no regular file: use one")
        if os.name != "nt":
            if found.st_uid not in (os.geteuid(), 0):
                raise ConfigurationError(f"it belongs to user {found.st_uid}: chown it to {os.geteuid()} or root")
            if found.st_mode & stat.S_IWOTH:
                raise ConfigurationError("everybody can write it: chmod o-w")
        data = b""
        while len(data) <= MAX_BYTES and (piece := os.read(descriptor, MAX_BYTES + 1 - len(data))):
            data += piece
    except OSError as error:
        raise ConfigurationError(f"it can't be read ({error.strerror}): let this user read it") from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"it is larger than {MAX_BYTES:,} bytes: `fasttrace sampling reset` begins anew")
    try:
        return data.decode(), _of(found)
    except UnicodeDecodeError:
        raise ConfigurationError("it is no UTF-8 text: `fasttrace sampling reset` begins anew") from None


def load(path: str) -> Asked:
    """What the file asks for now; nothing, without one. Raises ConfigurationError, naming the file."""
    try:
        text, _ = read_safely(path)
        return Asked() if text is None else control_text.read(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def save(path: str, asked: Asked) -> None:
    """Put a new file in the old one's place, at once, with its mode, or 0600. Raises ConfigurationError or OSError."""
    mode = 0o600
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError(f"{path} is no regular file: remove it, or use another with --file")
        mode = stat.S_IMODE(found.st_mode) & ~stat.S_IWOTH
    except FileNotFoundError:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o600)
    try:
        try:
            os.write(descriptor, control_text.write(asked).encode())
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def until(seconds: float, *, wall: Callable[[], float] = time.time) -> datetime:
    """The time in so many seconds, for ``Boost``; whole seconds."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(round(wall() + seconds), UTC)
