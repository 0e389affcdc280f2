"""The files of a spool: segments of frames, each of one owner.

A frame is 4 bytes of magic, the length and the CRC-32 of what follows as little-endian 32-bit numbers, and one
OTLP ``ExportTraceServiceRequest``. It is written by one call, so that a killed process leaves at most a torn
tail. Whoever holds the lock on a segment owns it; one without an owner is finished. A frame that has been
delivered gets another magic in its place.

The folder may be shared with others: what is no regular file is no segment, links are not followed, and bytes that
lie cost time and memory in proportion to their size.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from struct import Struct

from fasttrace import _log
from fasttrace.errors import SpoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

MAGIC = b"FTS1"
DELIVERED = b"FTD1"
FRAME = Struct("<4sII")
SUFFIX = ".spool"
SEGMENT_BYTES = 16 * 1024 * 1024
MAX_BYTES = 512 * 1024 * 1024
# A length beyond it is a lie. Batches are far smaller: max_queue_bytes is 16 MiB.
MAX_REQUEST_BYTES = 64 * 1024 * 1024
# What is read at a time.
PIECE_BYTES = 1024 * 1024
# How many times the size of a segment may be spent on frames that turn out to be none.
WASTE_RATIO = 4


def pack(request: bytes) -> bytes:
    """An OTLP request as a frame. Raises SpoolError for one beyond MAX_REQUEST_BYTES."""
    import zlib

    if len(request) > MAX_REQUEST_BYTES:
        raise SpoolError(f"{len(request):,} bytes are too many to be kept on disk: set FASTTRACE_MAX_BATCH_BYTES lower")
    return FRAME.pack(MAGIC, len(request), zlib.crc32(request)) + request


def create(directory: str) -> tuple[str, int]:
    """A new segment, mode 0600: its path and a descriptor that owns it. Raises OSError."""
    name = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
    path = os.path.join(directory, name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o600)
    lock(descriptor)
    if os.name != "nt" and os.stat(directory).st_mode & stat.S_IWOTH:
        _log.warning("shared", "%s can be written by everybody, who may delete or forge spans: chmod o-w", directory)
    return path, descriptor


def has_name(descriptor: int) -> bool:
    """Whether an open segment was not deleted: what is written to one that was, nobody finds. Raises OSError."""
    return os.name == "nt" or os.fstat(descriptor).st_nlink > 0


def is_ours(path: str) -> bool:
    """Whether a segment belongs to the user of this process."""
    try:
        return os.name == "nt" or os.lstat(path).st_uid == os.geteuid()
    except OSError:
        return False


def claim(path: str) -> int | None:
    """A descriptor that owns a finished segment; None when somebody else does, or when it is gone or no file."""
    try:
        descriptor = open_file(path, os.O_RDWR)
    except OSError:
        return None
    try:
        # The former owner may have deleted it between the two calls.
        if lock(descriptor) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def open_file(path: str | os.PathLike[str], flags: int) -> int:
    """A descriptor of a regular file that is no link; FileNotFoundError for anything else. Raises OSError."""
    # A pipe would block, a device never end, and a link lead out of the folder.
    for name in ("O_CLOEXEC", "O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise FileNotFoundError(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    return descriptor


def is_owned(path: str) -> bool:
    """Whether a living process owns this segment."""
    descriptor = claim(path)
    if descriptor is None:
        return os.path.exists(path)
    os.close(descriptor)
    return False


def lock(descriptor: int) -> bool:
    """Take the lock of a file without waiting; it goes with the descriptor. True when it was free."""
    try:
        if os.name == "nt":
            import msvcrt

            # A byte that no frame reaches: on Windows a locked range can't be read by others.
            os.lseek(descriptor, 1 << 40, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            os.lseek(descriptor, 0, os.SEEK_SET)
            return True
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_locked(descriptor: int) -> bool:
    """Whether somebody else has the lock of this file; those who ask do not stand in each other's way."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, 1 << 40, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            return False
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError:
        return True
    return False


def begun(path: str) -> float | None:
    """When a segment was begun, in seconds since 1970, as its name says; None for a name that is not ours."""
    number = os.path.basename(path).partition("-")[0]
    return int(number) / 1e9 if number.isascii() and number.isdigit() and len(number) < 25 else None


def make_directory(directory: str) -> None:
    """The folder, it and those above it that are missing with mode 0700. Raises OSError.

    One called ``.fasttrace`` is kept out of git.
    """
    if os.path.isdir(directory):
        return
    path = os.path.abspath(directory)
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
        if path == os.path.dirname(path):
            break
    for path in reversed(missing):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
            continue
        if os.path.basename(path) == ".fasttrace":
            with open(os.path.join(path, ".gitignore"), "w", encoding="ascii") as ignore:
                ignore.write("*\n")


def check_directory(directory: str) -> None:
    """Make the folder and see that it can be written. Raises OSError."""
    make_directory(directory)
    name = os.path.join(directory, f".check-{os.getpid()}-{os.urandom(4).hex()}")
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(name)


def paths(directory: str | os.PathLike[str]) -> list[str]:
    """The paths of a spool's segments, the oldest first; none for a folder that is not there."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SpoolError(f"the spool {os.fspath(directory)} can't be read ({error.strerror})") from None
    return [os.path.join(directory, name) for name in sorted(names) if name.endswith(SUFFIX)]


def sizes(directory: str | os.PathLike[str]) -> list[tuple[str, int]]:
    """The segments with their sizes in bytes, the oldest first."""
    found = []
    for path in paths(directory):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.append((path, status.st_size))
    return found


def read(path: str | os.PathLike[str], offset: int = 0, *, delivered: bool = True) -> Iterator[tuple[bytes, int]]:
    """The OTLP requests of a segment from an offset on, each with the offset behind it.

    Stops before a frame that is not whole yet, or never will be. Bytes that are no frame are skipped up to
    the next whole one. Without ``delivered``, only those that still wait.
    """
    import zlib

    try:
        file = os.fdopen(open_file(path, os.O_RDONLY), "rb", buffering=0)
    except FileNotFoundError:
        return
    with file:
        size = os.fstat(file.fileno()).st_size
        waste = WASTE_RATIO * size
        piece, base, position = b"", offset, offset
        while True:
            # Both begin alike.
            found = piece.find(MAGIC[:2], position - base)
            if found < 0 or len(piece) - found < FRAME.size:
                base = position = base + (found if found >= 0 else max(position - base, len(piece) - 1))
                piece = _read(file, position, max(0, min(PIECE_BYTES, size - position)))
                if len(piece) < FRAME.size:
                    return
                continue
            magic, length, checksum = FRAME.unpack_from(piece, found)
            position = base + found + 1
            body = found + FRAME.size
            end = base + body + length
            if magic not in (MAGIC, DELIVERED) or length > MAX_REQUEST_BYTES or end > size:
                continue  # torn, or damaged: a whole frame may stand further on
            request = piece[body : body + length]
            if len(request) < length:
                request = _read(file, base + body, length)
            if zlib.crc32(request) == checksum and len(request) == length:
                position = end
                if delivered or magic == MAGIC:
                    yield request, end
                continue
            waste -= length
            if waste < 0:
                return


def _read(file: FileIO, position: int, count: int) -> bytes:
    """So many bytes from a position, fewer only at the end of the file."""
    file.seek(position)
    data = file.read(count) or b""
    while len(data) < count and (more := file.read(count - len(data))):
        data += more
    return data


def requests(directory: str | os.PathLike[str]) -> Iterator[bytes]:
    """Every OTLP request in a spool, segment by segment in the order in which they were begun."""
    for path in paths(directory):
        for request, _ in read(path):
            yield request
