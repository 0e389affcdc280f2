"""What a process says of its tracing to those who read its spool: one small file beside the segments.

``stats-<pid>-<start>.json``, mode 0600, is replaced as a whole. Its process holds the lock on it as long as it lives,
so that readers see who is gone without a word. The folder may be shared with others: links and pipes are left alone,
and what is no such file is left out.
"""

from __future__ import annotations

import errno
import os
import time

from fasttrace import _threads, accounts
from fasttrace.export import segments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PREFIX, SUFFIX = "stats-", ".json"
EVERY_SECONDS = 1.0
# What a fork and the end of the process wait for a thread that hangs on a disk.
LOCK_SECONDS = 0.5
# Larger ones are not ours.
MAX_BYTES = 64 * 1024
# Without a change in these there is nothing to say.
_NEWS = ("started", "active", "queued", "held", "spooled", "exported", "sampled_out", "dropped", "last_error_time")
_MAX_COUNT = 2**63


class StatsFile:
    """The file of this process.

    ``directory()`` is the spool's folder, or None without one; ``service()`` and ``stats()`` say what is written.
    Any thread may call. Never raises: ``errors`` counts what could not be written.
    """

    def __init__(
        self, directory: Callable[[], str | None], service: Callable[[], str], stats: Callable[[], dict[str, Any]]
    ) -> None:
        self._directory = directory
        self._service = service
        self._stats = stats
        self._descriptors: list[int] = []
        self._reset()

    def _reset(self) -> None:
        # One writer at a time; re-entrant, because a signal handler may shut down in the middle of one.
        self._lock = _threads.original("RLock")()
        self._path: str | None = None
        self._said: list[Any] = []
        self._due = 0.0
        self._start_ns = time.time_ns()
        self.errors: int = 0

    def prepare(self) -> None:
        """Import what is needed, while a fork would wait for it."""
        if self._directory() is not None:
            import json  # noqa: F401

    def before_fork(self) -> None:
        """Wait for whoever is writing: a descriptor that he has just opened would keep the file locked in the child."""
        self._lock.acquire(timeout=LOCK_SECONDS)

    def after_fork_in_parent(self) -> None:
        """Let them write again."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it took too long

    def after_fork_in_child(self) -> None:
        """The file and its lock are the parent's."""
        self._close()
        self._reset()

    def write(self, *, at_once: bool = False, ended: bool = False) -> None:
        """Say what has changed, at most once a second unless ``at_once``; ``ended`` says it for the last time."""
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            self.errors += 1
            return
        try:
            now = time.monotonic()
            if at_once or ended or now >= self._due:
                self._due = now + EVERY_SECONDS
                self._say(ended)
        except Exception:
            self.errors += 1
        finally:
            self._lock.release()

    def _say(self, ended: bool) -> None:
        directory = self._directory()
        path = None if directory is None else os.path.join(directory, self._name())
        if self._path is not None and path != self._path:
            self._withdraw()  # spans go elsewhere now, and the accounts with them
        stats = self._stats()
        news = [stats[key] for key in _NEWS]
        if path is None or not stats["started"] or (news == self._said and not ended):
            return
        import json

        told = {
            "service": self._service(),
            "pid": os.getpid(),
            "start_ns": self._start_ns,
            "written_ns": time.time_ns(),
            "ended": ended,
            "stats": stats,
        }
        self._replace(path, json.dumps(told, default=str).encode())
        self._said = news
        if ended:
            self._close()

    def _name(self) -> str:
        return f"{PREFIX}{os.getpid()}-{self._start_ns}{SUFFIX}"

    def _replace(self, path: str, data: bytes) -> None:
        fresh = f"{path}.{os.urandom(4).hex()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(fresh, flags, 0o600)
        self._descriptors.append(descriptor)
        try:
            segments.lock(descriptor)
            _write(descriptor, data)
            if os.name == "nt":
                self._close()  # a file that is open can't be replaced there
            os.replace(fresh, path)
        except BaseException:
            if descriptor in self._descriptors:
                self._descriptors.remove(descriptor)
                os.close(descriptor)
            os.unlink(fresh)
            raise
        self._path = path
        if os.name == "nt":
            self._descriptors.append(os.open(path, os.O_RDWR))
            segments.lock(self._descriptors[0])
        else:
            self._close(but=descriptor)

    def _withdraw(self) -> None:
        path, self._path, self._said = self._path, None, []
        self._close()
        if path is not None:
            os.unlink(path)

    def _close(self, but: int | None = None) -> None:
        for descriptor in [descriptor for descriptor in self._descriptors if descriptor != but]:
            self._descriptors.remove(descriptor)
            os.close(descriptor)


class ProcessStats:
    """What a process has said last. ``state`` is ``running``, ``ended``, or ``gone``: without a last word.

    Times in nanoseconds since 1970; ``stats`` has every key of ``fasttrace.stats()``, and those of other versions.
    """

    __slots__ = ("pid", "service", "start_ns", "state", "stats", "written_ns")

    def __init__(self, told: dict[str, Any], *, running: bool) -> None:
        self.service: str = str(told.get("service") or "unknown_service")[:200]
        self.pid: int = _count(told.get("pid"))
        self.start_ns: int = _count(told.get("start_ns"))
        self.written_ns: int = _count(told.get("written_ns"))
        self.state = "ended" if told.get("ended") is True else "running" if running else "gone"
        self.stats: dict[str, Any] = _stats(told.get("stats"))

    @property
    def dropped(self) -> dict[str, int]:
        """The spans that were lost, by reason; reasons without any are left out."""
        found = {reason: count for reason, count in self.stats["dropped"].items() if count}
        if self.stats["replay_dropped"]:
            found["replay_dropped"] = self.stats["replay_dropped"]
        return found


def paths(directory: str | os.PathLike[str]) -> list[str]:
    """The files of all processes in a spool; none for a folder that can't be read."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [os.path.join(directory, name) for name in sorted(names) if name.startswith(PREFIX)]


def read(directory: str | os.PathLike[str]) -> list[ProcessStats]:
    """What the processes of a spool say, those that run first, then the last ones to have spoken. Never raises."""
    found = [told for path in paths(directory) if path.endswith(SUFFIX) and (told := _read(path)) is not None]
    return sorted(found, key=lambda one: (one.state != "running", -one.written_ns, one.pid))


def is_owned(path: str) -> bool:
    """Whether the process of a file still runs, or the file can't be looked at."""
    try:
        descriptor = segments.open_file(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        return segments.is_locked(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read(path: str) -> ProcessStats | None:
    import json

    for _ in range(5):
        try:
            descriptor = segments.open_file(path, os.O_RDONLY)
        except OSError:
            return None
        try:
            data = os.read(descriptor, MAX_BYTES + 1)
            running = segments.is_locked(descriptor)
            if not running and not os.path.samestat(os.fstat(descriptor), os.stat(path)):
                continue  # replaced meanwhile: the lock is on the new one
            told = json.loads(data)
            return ProcessStats(told, running=running) if isinstance(told, dict) and len(data) <= MAX_BYTES else None
        except (OSError, ValueError, RecursionError):
            return None
        finally:
            os.close(descriptor)
    return None


def _stats(told: Any) -> dict[str, Any]:
    given = told if isinstance(told, dict) else {}
    found = {**given, **accounts.blank()}
    for key, value in given.items():
        if key == "dropped" and isinstance(value, dict):
            found[key] = {**found[key], **{str(reason): _count(count) for reason, count in value.items()}}
        elif isinstance(found[key], bool | float | dict):
            found[key] = value if type(value) is type(found[key]) else found[key]
        elif isinstance(found[key], int):
            found[key] = _count(value)
        elif isinstance(value, str | int | float | None):
            found[key] = value
    return found


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT else 0
