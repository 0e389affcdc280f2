"""The index behind the server: one thread brings it up to date, a few others ask."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from typing import Any

from fasttrace.export import segments
from fasttrace.local.health import Losses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from fasttrace.local.index import Index

    # Told the bytes that are read, and all there are, while the index is brought up to date.
    Progress = Callable[[], AbstractContextManager[Callable[[int, int], None] | None]]

READERS = 3
POLL_SECONDS = 0.5
LOSSES_SECONDS = 2.0
TIDY_SECONDS = 60.0
# An open page holds one stream.
MAX_STREAMS = 64


class Readers:
    """``open_index`` is called once in each thread: those who share an index wait for each other.

    ``tidy`` is called with one at the start and then once a minute; ``progress`` is entered for each look at
    what is new.
    """

    def __init__(
        self,
        open_index: Callable[[], Index],
        tidy: Callable[[Index], None] | None = None,
        progress: Progress = nullcontext,
    ) -> None:
        self._open = open_index
        self._tidy = tidy
        self._progress = progress
        self._tidy_at = self._losses_at = 0.0
        self._segments: set[str] = set()
        self._local = threading.local()
        self._opened: list[Index] = []
        # Where the index can't be a file, the one that is brought up to date is the only one that knows anything.
        self._private: Index | None = None
        self._threads = ThreadPoolExecutor(READERS, "fasttrace-read")
        self._writer = ThreadPoolExecutor(1, "fasttrace-index")
        self._waiting: set[asyncio.Future[None]] = set()
        self.version: int = 0
        self.trouble: str = ""
        self.dropped: int = 0  # spans, by all processes of the spool
        self.streams = 0
        self.closing: bool = False

    async def ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """What ``question(index, *arguments)`` returns, asked in a thread that has an index."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._asked, question, arguments)

    def _asked(self, question: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return question(self._index(), *arguments)

    def _index(self) -> Index:
        index: Index | None = getattr(self._local, "index", None)
        if index is not None and index.is_current:
            return index
        if self._private is not None and self._private.is_current:
            return self._private
        index = self._open()
        self._opened.append(index)
        if index.is_private:
            self._private = index
        else:
            self._local.index = index
        return index

    async def follow(self) -> None:
        """Bring the index up to date for ever, and tell those who wait when something came."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                found = await loop.run_in_executor(self._writer, self._refresh)
                self.trouble = ""
            except Exception as error:  # the page says so; what can be read is still shown
                found, self.trouble = False, f"{type(error).__name__}: {error}"
            if found:
                self.wake()
            await asyncio.sleep(POLL_SECONDS)

    def _refresh(self) -> bool:
        """Whether there is anything new to see, or something is not there any more."""
        index, now, dropped = self._index(), time.monotonic(), self.dropped
        if now >= self._losses_at:
            self._losses_at = now + LOSSES_SECONDS
            self.dropped = Losses(index.directory).spans
        if self._tidy is not None and now >= self._tidy_at:
            self._tidy_at = now + TIDY_SECONDS
            self._tidy(index)
        # Before the refresh: what goes during it is seen the next time.
        there = set(segments.paths(index.directory))
        before, self._segments = self._segments, there
        with self._progress() as advance:
            return index.refresh(advance) > 0 or self.dropped != dropped or not before <= there

    def wake(self) -> None:
        """Something has changed."""
        self.version += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def changed(self, timeout: float) -> bool:
        """Wait for the next change; False after so many seconds without one."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        with suppress(TimeoutError):
            await asyncio.wait_for(future, timeout)
            return True
        self._waiting.discard(future)
        return False

    def stop(self) -> None:
        """End the streams."""
        self.closing = True
        self.wake()

    def close(self) -> None:
        """Let the threads end, and the files go."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._writer.shutdown(wait=True, cancel_futures=True)
        for index in self._opened:
            index.close()
