"""The local spool: an append-only store of OTLP requests that every process of a machine may write.

A segment is a file of frames: 4 bytes of magic, the length and the CRC-32 of what follows as
little-endian 32-bit numbers, and one OTLP ``ExportTraceServiceRequest``. A frame is written by one call,
so that a killed process leaves at most a torn tail. The writer holds a lock on its segment; segments
without one are finished, and the oldest of them go first when the spool is full.
"""

from __future__ import annotations

import os
import time
from struct import Struct

from fasttrace.errors import ConfigurationError, SpoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasttrace.export.base import Batch

MAGIC = b"FTS1"
FRAME = Struct("<4sII")
SUFFIX = ".spool"
SEGMENT_BYTES = 16 * 1024 * 1024
MAX_BYTES = 512 * 1024 * 1024
PROJECT_MARKS = ("pyproject.toml", "setup.py", ".git")


def default_directory() -> str:
    """``.fasttrace/spool`` in the project that the current folder belongs to, or in the current folder."""
    start = folder = os.getcwd()
    while True:
        if any(os.path.exists(os.path.join(folder, mark)) for mark in PROJECT_MARKS):
            return os.path.join(folder, ".fasttrace", "spool")
        parent = os.path.dirname(folder)
        if parent == folder:
            return os.path.join(start, ".fasttrace", "spool")
        folder = parent


class SpoolExporter:
    """Appends batches to segments in a folder, 0700, files 0600; capped at ``max_bytes``, oldest first out.

    ``directory`` None is ``default_directory()``. Writing raises SpoolError, which says what to do.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        if max_bytes < 1 or segment_bytes < 1:
            raise ConfigurationError(f"max_bytes={max_bytes!r}, segment_bytes={segment_bytes!r}: use at least 1")
        self.directory = default_directory() if directory is None else os.fspath(directory)
        self.max_bytes = max_bytes
        # Half of the cap at most, so that a full spool still holds something when a segment goes.
        self.segment_bytes = min(segment_bytes, max(1, max_bytes // 2))
        self._descriptor: int | None = None
        self._pid = 0
        self._written = 0

    def __repr__(self) -> str:
        return f"SpoolExporter({self.directory!r})"

    def check(self) -> None:
        """Make the folder and see that it can be written, where an error reaches the user."""
        self._make_directory()
        name = os.path.join(self.directory, f".check-{os.getpid()}-{os.urandom(4).hex()}")
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.unlink(name)
        except OSError as error:
            raise self._unwritable(error) from None

    def export(self, batch: Batch) -> None:
        """Append one frame."""
        self.append(batch.otlp)

    def append(self, request: bytes) -> None:
        """Append one OTLP request as a frame."""
        import zlib

        frame = FRAME.pack(MAGIC, len(request), zlib.crc32(request)) + request
        if self._pid != os.getpid():
            self._leave_to_parent()
        if self._descriptor is None or self._written + len(frame) > self.segment_bytes:
            self._next_segment(len(frame))
        assert self._descriptor is not None
        try:
            written = os.write(self._descriptor, frame)
        except OSError as error:
            self._close()
            raise self._unwritable(error) from None
        self._written += written
        if written != len(frame):
            # A full disk: what was begun is a torn frame, which readers skip; the rest goes nowhere.
            self._close()
            raise SpoolError(f"the spool {self.directory} is on a full disk: make room, or set FASTTRACE_SPOOL_DIR")

    def flush(self, timeout: float) -> bool:
        """Every frame is written at once."""
        return True

    def shutdown(self, timeout: float) -> None:
        """Finish the segment."""
        if self._pid == os.getpid():
            self._close()

    def _leave_to_parent(self) -> None:
        """In a forked child: the open segment and its lock are the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._pid = os.getpid()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _next_segment(self, need: int) -> None:
        self._close()
        self._make_directory()
        self._make_room(max(need, self.segment_bytes))
        name = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        flags |= getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(os.path.join(self.directory, name), flags, 0o600)
        except OSError as error:
            raise self._unwritable(error) from None
        _lock(descriptor)
        self._descriptor = descriptor
        self._written = 0

    def _make_directory(self) -> None:
        try:
            parent = os.path.dirname(os.path.abspath(self.directory))
            if os.path.basename(parent) == ".fasttrace" and not os.path.isdir(parent):
                os.makedirs(parent, 0o700, exist_ok=True)
                with open(os.path.join(parent, ".gitignore"), "w", encoding="ascii") as ignore:
                    ignore.write("*\n")
            os.makedirs(self.directory, 0o700, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> SpoolError:
        return SpoolError(
            f"the spool {self.directory} can't be written ({error.strerror}): set FASTTRACE_SPOOL_DIR to a folder that "
            "can, or FASTTRACE_EXPORTER to another exporter"
        )

    def _make_room(self, need: int) -> None:
        """Delete the oldest finished segments until ``need`` more bytes fit below the cap."""
        sizes = []
        for path in segments(self.directory):
            try:
                sizes.append((path, os.stat(path).st_size))
            except FileNotFoundError:
                continue
        total = sum(size for _, size in sizes)
        for path, size in sizes:
            if total + need <= self.max_bytes:
                return
            if size == 0 or is_owned(path):
                continue
            try:
                os.unlink(path)
            except OSError:
                continue
            total -= size


def _lock(descriptor: int) -> bool:
    """Take the lock of a segment without waiting; it goes with the descriptor. True when it was free."""
    try:
        if os.name == "nt":
            import msvcrt

            # A byte that no frame reaches: on Windows a locked range can't be read by others.
            os.lseek(descriptor, 1 << 40, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            return True
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_owned(path: str) -> bool:
    """Whether a living process still writes this segment."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def segments(directory: str | os.PathLike[str]) -> list[str]:
    """The paths of a spool's segments, the oldest first; none for a folder that is not there."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SpoolError(f"the spool {os.fspath(directory)} can't be read ({error.strerror})") from None
    return [os.path.join(directory, name) for name in sorted(names) if name.endswith(SUFFIX)]


def read_segment(path: str | os.PathLike[str], offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """The OTLP requests of a segment from an offset on, each with the offset behind it.

    Stops before a frame that is not whole yet, or never will be. Bytes that are no frame are skipped up to
    the next whole one.
    """
    import zlib

    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return
    position = 0
    while True:
        position = data.find(MAGIC, position)
        if position < 0 or len(data) - position < FRAME.size:
            return
        _, length, checksum = FRAME.unpack_from(data, position)
        body = position + FRAME.size
        end = body + length
        if end <= len(data) and zlib.crc32(memoryview(data)[body:end]) == checksum:
            yield data[body:end], offset + end
            position = end
        else:
            # Torn, or damaged: a whole frame may stand further on.
            position += 1


def iter_requests(directory: str | os.PathLike[str]) -> Iterator[bytes]:
    """Every OTLP request in a spool, segment by segment in the order in which they were begun."""
    for path in segments(directory):
        for request, _ in read_segment(path):
            yield request
