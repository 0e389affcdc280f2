"""The local spool: an append-only store of OTLP requests that every process of a machine may write.

Its files are ``segments``; the oldest that nobody owns go first when it is full, and when they are too old.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from fasttrace.errors import ConfigurationError, SpoolError
from fasttrace.export import retention, segments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.export.base import Batch

# A segment that is written to can't be deleted: a new one is begun after this share of the age at which they go.
AGE_SHARE = 1 / 8
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

    When a new segment is begun, those that were not written for ``max_age`` seconds go, too; None keeps them.
    ``directory`` None is ``default_directory()``. Writing raises SpoolError, which says what to do.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        max_bytes: int = segments.MAX_BYTES,
        max_age: float | None = retention.MAX_AGE_SECONDS,
        segment_bytes: int = segments.SEGMENT_BYTES,
    ) -> None:
        if max_bytes < 1 or segment_bytes < 1:
            raise ConfigurationError(f"max_bytes={max_bytes!r}, segment_bytes={segment_bytes!r}: use at least 1")
        if max_age is not None and max_age <= 0:
            raise ConfigurationError(f"max_age={max_age!r}: use seconds above 0, or None")
        # Wherever the process goes later: daemons leave for /.
        self.directory: str = default_directory() if directory is None else os.path.abspath(directory)
        self.max_bytes = max_bytes
        self.max_age = max_age
        # Half of the cap at most, so that a full spool still holds something when a segment goes.
        self.segment_bytes: int = min(segment_bytes, max(1, max_bytes // 2))
        self._descriptor: int | None = None
        self._path = ""
        self._pid = 0
        self._written = 0
        self._begun = 0.0

    def __repr__(self) -> str:
        return f"SpoolExporter({self.directory!r})"

    def check(self) -> None:
        """Make the folder and see that it can be written, where an error reaches the user."""
        try:
            segments.check_directory(self.directory)
        except OSError as error:
            raise self._unwritable(error) from None

    def export(self, batch: Batch) -> None:
        """Append one frame."""
        self.append(batch.otlp)

    def append(self, request: bytes) -> None:
        """Append one OTLP request as a frame."""
        frame = segments.pack(request)
        if self._pid != os.getpid():
            # In a forked child: the open segment and its lock are the parent's.
            self._disown()
            self._pid = os.getpid()
        try:
            if self._descriptor is None or self._is_done(self._descriptor, len(frame)):
                self._close()
                segments.make_directory(self.directory)
                need = max(len(frame), self.segment_bytes)
                retention.prune(self.directory, max_bytes=self.max_bytes, max_age=self.max_age, need=need)
                self._written, self._begun = 0, time.monotonic()
                self._path, self._descriptor = segments.create(self.directory)
            written = os.write(self._descriptor, frame)
        except OSError as error:
            self._give_up()
            raise self._unwritable(error) from None
        if written != len(frame):
            # A full disk: what was begun is a torn frame, which readers skip; the rest goes nowhere.
            self._give_up()
            raise SpoolError(f"the spool {self.directory} is on a full disk: make room, or set FASTTRACE_SPOOL_DIR")
        self._written += written

    def _is_done(self, descriptor: int, size: int) -> bool:
        """Whether the segment is full, too old, or was deleted together with all that would still be written to it."""
        too_old = self.max_age is not None and time.monotonic() - self._begun > AGE_SHARE * self.max_age
        return too_old or self._written + size > self.segment_bytes or not segments.has_name(descriptor)

    def _give_up(self) -> None:
        """Begin another segment next time, and leave none behind without anything in it."""
        if self._descriptor is not None and not self._written:
            with suppress(OSError):
                os.unlink(self._path)
        self._close()

    def flush(self, timeout: float) -> bool:
        """Every frame is written at once."""
        return True

    def shutdown(self, timeout: float) -> None:
        """Finish the segment."""
        if self._pid == os.getpid():
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def _disown(self) -> None:
        """Close the parent's segment, unless its number is another file's: daemons close all that they inherit."""
        with suppress(OSError):
            if self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), os.stat(self._path)):
                self._close()
        self._descriptor = None

    def _unwritable(self, error: OSError) -> SpoolError:
        return SpoolError(
            f"the spool {self.directory} can't be written ({error.strerror}): set FASTTRACE_SPOOL_DIR to a folder that "
            "can, or FASTTRACE_EXPORTER to another exporter"
        )


def directory_of(exporter: object) -> str | None:
    """The spool that an exporter writes to; None for one that writes to none."""
    return exporter.directory if isinstance(exporter, SpoolExporter) else None
