"""Where requests wait on disk that could not be delivered, until this process or the next one can.

A folder of segments for each destination. A process owns what it writes as long as it lives, and claims what the
dead have left, so that no two ever send the same file. The oldest goes first when the folder is full.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress

from fasttrace import _log, _threads
from fasttrace._core.types import DecodeError
from fasttrace.config import folders
from fasttrace.errors import SpoolError
from fasttrace.export import request as requests
from fasttrace.export import segments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def default_root(environ: Mapping[str, str]) -> str:
    """``undelivered`` in the user's folder for state."""
    return os.path.join(folders.state(environ), "undelivered")


def folder(root: str, destination: str) -> str:
    """The folder of one destination. Its name tells nothing: the destination may hold secrets."""
    import hashlib

    return os.path.join(root, hashlib.sha256(destination.encode()).hexdigest()[:16])


class Frame:
    """One request that waits: where it is, how many spans it has, and whether they are this process's own."""

    __slots__ = ("length", "mine", "offset", "segment", "spans")

    def __init__(self, segment: _Segment, offset: int, length: int, spans: int, mine: bool) -> None:
        self.segment: _Segment = segment
        self.offset: int = offset
        self.length: int = length
        self.spans: int = spans
        self.mine: bool = mine


class _Segment:
    """A file that this process owns, and the frames in it that wait, oldest first."""

    __slots__ = ("descriptor", "frames", "path", "size")

    def __init__(self, path: str, descriptor: int, size: int = 0) -> None:
        self.path: str = path
        self.descriptor: int = descriptor
        self.size: int = size
        self.frames: deque[Frame] = deque()

    def delete(self) -> None:
        with suppress(OSError):
            os.unlink(self.path)
        with suppress(OSError):  # somebody closes descriptors that are not his
            os.close(self.descriptor)


class Undelivered:
    """The requests that wait for one destination.

    ``put`` adds one, ``first`` is the oldest, ``done`` takes it off. ``mine`` counts the spans of this process that
    wait, ``evicted_mine`` and ``evicted_others`` the spans that went because the folder was full. Sizes in bytes.
    Any thread may call.
    """

    def __init__(self, directory: str, max_bytes: int = segments.MAX_BYTES) -> None:
        self.directory: str = os.path.abspath(directory)  # wherever the process goes later
        self.max_bytes = max_bytes
        self.segment_bytes: int = max(1, min(segments.SEGMENT_BYTES, max_bytes // 2))
        self._segments: list[_Segment] = []
        self._reset()

    def _reset(self) -> None:
        self._lock = _threads.original("RLock")()
        self._newest: _Segment | None = None
        self.mine: int = 0
        self.evicted_mine: int = 0
        self.evicted_others: int = 0

    def after_fork_in_child(self) -> None:
        """The files, their locks and what waits in them are the parent's."""
        held, self._segments = self._segments, []
        for segment in held:
            os.close(segment.descriptor)
        self._reset()

    @property
    def waiting(self) -> bool:
        """Whether there is anything to deliver."""
        return any(segment.frames for segment in self._segments)

    @property
    def spans(self) -> int:
        """The spans that wait, of this process and those that it took over; 0 once they are given up."""
        with self._lock:
            return sum(frame.spans for segment in self._segments for frame in segment.frames)

    def put(self, request: bytes, spans: int, *, mine: bool = True) -> None:
        """Write one request behind the others. Raises SpoolError when it can't be, ``full`` when there is no room."""
        frame = segments.pack(request)
        with self._lock:
            try:
                segment = self._room_for(len(frame))
                offset = segment.size
                os.lseek(segment.descriptor, offset, os.SEEK_SET)
                written = os.write(segment.descriptor, frame)
                segment.size += written
            except OSError as error:
                self._end_newest()
                raise SpoolError(
                    f"undelivered spans can't be kept in {self.directory} ({error.strerror}): set "
                    "FASTTRACE_UNDELIVERED_DIR to a folder that can be written, or to none"
                ) from None
            if written != len(frame):
                # What was begun is a torn frame, which readers skip.
                self._end_newest()
                raise self._full("the disk is full")
            segment.frames.append(Frame(segment, offset, len(frame), spans, mine))
            if mine:
                self.mine += spans

    def _end_newest(self) -> None:
        """Begin another segment next time; one in which nothing waits goes at once."""
        segment, self._newest = self._newest, None
        if segment is not None and not segment.frames:
            self._forget(segment)

    def _full(self, why: str) -> SpoolError:
        error = SpoolError(f"undelivered spans can't be kept in {self.directory}: {why}")
        error.full = True
        return error

    def _room_for(self, size: int) -> _Segment:
        segments.make_directory(self.directory)
        self._evict(size)
        segment = self._newest
        if (
            segment is None
            or segment.size + size > self.segment_bytes
            or not segments.has_name(segment.descriptor)  # the next process would not find what is written there
        ):
            segment = self._newest = _Segment(*segments.create(self.directory))
            self._segments.append(segment)
        return segment

    def _evict(self, need: int) -> None:
        """Delete the oldest segments, of the dead and of this process, until ``need`` more bytes fit below the cap."""
        found = segments.sizes(self.directory)
        total = sum(size for _, size in found)
        for path, size in found:
            if total + need <= self.max_bytes:
                return
            segment = next((known for known in self._segments if known.path == path), None)
            if segment is None:
                segment = self._claim(path)
            if segment is None:
                continue  # of another process that lives
            for frame in segment.frames:
                if frame.mine:
                    self.mine -= frame.spans
                    self.evicted_mine += frame.spans
                else:
                    self.evicted_others += frame.spans
            segment.frames.clear()
            self._forget(segment)
            total -= size
        if total + need > self.max_bytes:
            raise self._full(f"other processes fill its {self.max_bytes:,} bytes")

    def scan(self) -> None:
        """Claim what processes that are gone have left. Never raises."""
        with self._lock:
            known = {segment.path for segment in self._segments}
            try:
                found = [path for path in segments.paths(self.directory) if path not in known]
            except SpoolError:
                return
            for path in found:
                if segments.is_ours(path):
                    segment = self._claim(path)
                    if segment is not None and not segment.frames:
                        self._forget(segment)
                else:
                    # What another user has put here must not go out under our credentials.
                    _log.warning("foreign", "%s belongs to another user and is not sent", path)

    def _claim(self, path: str) -> _Segment | None:
        """A segment that nobody owns, maybe with nothing in it that waits; None when somebody does."""
        descriptor = segments.claim(path)
        if descriptor is None:
            return None
        segment = _Segment(path, descriptor, os.fstat(descriptor).st_size)
        for request, end in segments.read(path, delivered=False):
            try:
                spans = requests.count_spans(request)
            except DecodeError:
                continue  # whole, but not ours: the next owner would fare no better
            length = len(request) + segments.FRAME.size
            segment.frames.append(Frame(segment, end - length, length, spans, False))
        self._segments.append(segment)
        # Names begin with the time.
        self._segments.sort(key=lambda item: os.path.basename(item.path))
        return segment

    def first(self) -> tuple[Frame, bytes] | None:
        """The oldest request that waits, and its bytes; None when there is none."""
        with self._lock:
            for segment in list(self._segments):
                while segment.frames:
                    frame = segment.frames[0]
                    try:
                        os.lseek(segment.descriptor, frame.offset + segments.FRAME.size, os.SEEK_SET)
                        body = os.read(segment.descriptor, frame.length - segments.FRAME.size)
                        if len(body) == frame.length - segments.FRAME.size:
                            return frame, body
                    except OSError:
                        pass
                    self._take_off(frame)  # somebody has cut the file
                    self._lost(frame)
        return None

    def _lost(self, frame: Frame) -> None:
        if frame.mine:
            self.evicted_mine += frame.spans
        else:
            self.evicted_others += frame.spans

    def done(self, frame: Frame) -> bool:
        """The frame needs to wait no longer; False when it was evicted meanwhile."""
        with self._lock:
            if frame not in frame.segment.frames:
                return False
            try:
                os.lseek(frame.segment.descriptor, frame.offset, os.SEEK_SET)
                os.write(frame.segment.descriptor, segments.DELIVERED)
            except OSError:
                pass  # a later owner sends it once more
            self._take_off(frame)
            return True

    def _take_off(self, frame: Frame) -> None:
        segment = frame.segment
        segment.frames.remove(frame)
        if frame.mine:
            self.mine -= frame.spans
        if not segment.frames:
            self._forget(segment)

    def _forget(self, segment: _Segment) -> None:
        self._segments.remove(segment)
        if self._newest is segment:
            self._newest = None
        segment.delete()

    def close(self) -> None:
        """Give up the files; what waits in them is for whoever comes next."""
        with self._lock:
            for segment in self._segments:
                segment.frames.clear()
                os.close(segment.descriptor)
            self._segments.clear()
            self._newest = None
