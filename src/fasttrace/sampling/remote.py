"""Strategies that Jaeger hands out (its HTTP endpoint ``/sampling``), asked for by a thread of their own."""

from __future__ import annotations

import weakref

from fasttrace import _log, _threads
from fasttrace._core import ids
from fasttrace.context import UNTRACED, attach, detach
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import checks, clock, strategies
from fasttrace.sampling.base import ALWAYS, ENTRIES, NEVER, Sampler, check_sampler
from fasttrace.sampling.probability import Probability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace.sampling.base import Answer, Members, Thresholds

TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 1 << 20


class JaegerRemote(Sampler):
    """Decides as the strategy that Jaeger has for this service, asked for every ``interval`` seconds while spans begin.

    ``url`` is ``http://jaeger:5778/sampling`` (the path may be left out); ``service_name`` is that of the provider
    unless given; ``initial`` decides until the first answer. An answer that can't be had or used leaves the last one in
    force. Strategies are probabilistic, rate limiting, and by operation. Decides where a trace comes into this
    process; below a local parent spans do what that did. Raises ConfigurationError.
    """

    _boosted = ENTRIES

    def __init__(
        self, url: str, service_name: str | None = None, interval: float = 60, initial: Sampler | None = None
    ) -> None:
        # Not in the thread: a fork in the middle of an import leaves a child that waits for the rest for ever.
        import json  # noqa: F401

        import urllib3  # noqa: F401

        self.url: str = _endpoint(url)
        if service_name is not None and (not isinstance(service_name, str) or not service_name):
            raise ConfigurationError(
                f"service_name={service_name!r}: use the service's name, or None for the provider's"
            )
        self.service_name = service_name
        self.interval: float = checks.positive(interval, "interval")
        self.initial: Sampler = Probability(0.001) if initial is None else check_sampler(initial, "initial")
        self.strategy: Sampler = self.initial
        self.last_error: str | None = None
        self.polls: int = 0
        self._answer: Any = None
        self._next_ns = 1  # long ago: the first span asks
        # Guards the start of the thread and its waking: there is one at a time in a process.
        self._lock = clock.Lock()
        self._generation: int | None = None  # of the process that has a thread
        self._polling = False
        self._asked: Any = None

    # --- asking

    def poll(self) -> bool:
        """Ask once and take over the answer; False, with ``last_error``, when the last strategy stays in force."""
        token = attach(UNTRACED)
        try:
            answer = strategies.read(_fetch(self.url, self.service_name or "unknown_service"))
            error = None
        except Exception as problem:  # whatever a server sends, the last strategy stays
            error = f"{type(problem).__name__}: {problem}"
        finally:
            detach(UNTRACED, token)
        self.polls += 1
        if error is not None:
            self.last_error = error
            if _log.due("sampling.remote"):
                _log.warning(
                    "sampling.remote", "sampling: %s gives no strategy (%s); %r stays", self.url, error, self.strategy
                )
            return False
        self.last_error = None
        if answer != self._answer:  # else buckets would be full again every minute
            self._answer = answer
            self.strategy = strategies.sampler(answer)
            self._changed("%s says %r for %s", self.url, self.strategy, self.service_name)
        return True

    def _due_ns(self) -> int:
        boost = super()._due_ns()
        return min(boost, self._next_ns) if boost else self._next_ns

    def _wake(self, now: int) -> None:
        super()._wake(now)
        with self._lock:
            if now < self._next_ns:
                return
            self._next_ns = now + round(self.interval * clock.SECOND_NS)
            self._ask()

    def _ask(self) -> None:
        """Wake the thread, or start it in a process that has none; it is left alone while it asks."""
        generation = ids.fork_generation()
        if self._generation == generation:
            if not self._polling and self._asked.locked():
                self._asked.release()
            return
        # One thread for good: greenlet libraries would make, and leave behind, a hub for each that uses a socket.
        self._asked, self._polling = _threads.original("allocate_lock")(), False
        try:
            _threads.start(_serve, (weakref.ref(self, _end(self._asked)), self._asked))
        except RuntimeError:  # the interpreter ends
            return
        self._generation = generation

    def _poll(self) -> None:
        self._polling = True
        try:
            self.poll()
        except Exception as problem:  # the thread goes on, and the view says why
            self.last_error = f"{type(problem).__name__}: {problem}"
        finally:
            self._polling = False

    # --- deciding

    def _thresholds(self) -> Thresholds:
        found = self.strategy.thresholds()
        return (found[0], found[1], found[2], ALWAYS, NEVER)

    def _members(self) -> Members:
        found = self.strategy.ot_members()
        return (found[0], found[1], found[2], None, None)

    def _decide(
        self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any
    ) -> Answer:
        return self.strategy.judge(rule, parent, trace_id, name, kind, attributes, links)

    def _ratio(self) -> float | None:
        return self.strategy._ratio()

    def state(self) -> dict[str, Any]:
        """As for every sampler, with ``remote``: ``url``, ``strategy``, the number of ``polls``, ``last_error``."""
        remote = {
            "url": self.url,
            "strategy": repr(self.strategy),
            "polls": self.polls,
            "last_error": self.last_error,
        }
        return {**super().state(), "remote": remote}

    def __repr__(self) -> str:
        return f"JaegerRemote({self.url!r})"


def _end(asked: Any) -> Callable[[object], None]:
    """What ends the thread of a sampler that is gone."""

    def end(_reference: object) -> None:
        if asked.locked():
            asked.release()

    return end


def _serve(reference: Callable[[], JaegerRemote | None], asked: Any) -> None:
    """The thread: asks whenever it is woken, for as long as there is a sampler to ask for."""
    while asked.acquire():
        sampler = reference()
        if sampler is None:
            return
        sampler._poll()
        del sampler


def _endpoint(url: Any) -> str:
    from urllib.parse import urlsplit

    example = "use a URL without credentials, such as http://localhost:5778/sampling"
    if not isinstance(url, str):
        raise ConfigurationError(f"url={url!r}: {example}")
    try:
        parts = urlsplit(url.strip())
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if good and parts.username is None and parts.password is None and not parts.query and not parts.fragment:
        return url.strip().rstrip("/") + ("/sampling" if parts.path in ("", "/") else "")
    raise ConfigurationError(f"url={'...' if '@' in url else url!r}: {example}")


def _fetch(url: str, service: str) -> bytes:
    """The body of Jaeger's answer. Raises for any other answer, and for one that is too long or too late."""
    import urllib3

    deadline = clock.now_ns() + round(TIMEOUT_SECONDS * clock.SECOND_NS)
    pool = urllib3.PoolManager(num_pools=1, maxsize=1)
    try:
        response = pool.request(
            "GET",
            url,
            fields={"service": service},
            timeout=urllib3.Timeout(total=TIMEOUT_SECONDS),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            if response.status != 200:
                raise ValueError(f"it answered {response.status}")
            body = b""
            while data := response.read1(MAX_ANSWER_BYTES + 1 - len(body), decode_content=True):
                body += data
                if len(body) > MAX_ANSWER_BYTES:
                    raise ValueError(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
                if clock.now_ns() > deadline:
                    raise TimeoutError("its answer did not end in time")
            return body
        finally:
            response.close()
    finally:
        pool.clear()
