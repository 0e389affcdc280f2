"""What changes sampling while the process runs: the control file, incidents, a signal.

Called by the background thread about once a second. The ratio is the control file's where it has one, else what the
application configured or set; the boost is the largest of the control file's, the incidents' and the application's
own. The governor ends none but its own: what it took the place of goes on afterwards.
"""

from __future__ import annotations

import time

from fasttrace import _log
from fasttrace._core import ids
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import reading, signals
from fasttrace.sampling.incident import Incident, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from fasttrace.sampling.budget import Budget
    from fasttrace.sampling.control import Control

# A deadline that moved by less is the same one.
SLACK_SECONDS = 0.5


class Governor:
    """Applies what is asked to one sampler.

    ``sampler`` may have ``set_ratio(ratio)``, ``boost(ratio, seconds)``, ``end_boost()`` and ``state()``;
    ``recorder_window`` is ``Recorder.window``; ``recall(trace_id)`` takes the id as a number and
    ``recall_recent(seconds)`` the time to go back, both give the number of spans. ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        sampler: Any,
        recorder_window: Callable[[], Mapping[str, Any]],
        control: Control | None,
        incidents: Iterable[Incident] = (),
        recall: Callable[[int], int] | None = None,
        recall_recent: Callable[[float], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        budget: Budget | None = None,
    ) -> None:
        self._sampler = sampler
        self._budget = budget
        self._window = recorder_window
        self._control = control
        self._incidents = tuple(incidents)
        self._recall = recall
        self._recall_recent = recall_recent
        self._clock = clock
        self._ratio_before: float | None = None
        self._ratio_set: float | None = None
        # Our boost, and one of the application's that it has taken the place of: ratio and end.
        self._boost: tuple[float, float] | None = None
        self._displaced: tuple[float, float] | None = None
        self._recalled: str | None = None
        self._signals = signals.asked[0]
        self._told: set[str] = set()
        self._start()

    def _start(self) -> None:
        self._watches = [Watch(incident) for incident in self._incidents]
        self._generation = ids.fork_generation()

    def tick(self) -> None:
        """Look at everything once, and quickly. Never raises; what fails is logged, and the rest goes on."""
        if self._generation != ids.fork_generation():
            self._start()  # a child has requests of its own; what was asked of its parent holds for it too
            if self._budget is not None:
                self._budget.restart()
        for step in (
            self._look,
            self._watch,
            self._set_ratio,
            self._set_boost,
            self._recall_asked,
            self._recall_signalled,
            self._keep_budget,
        ):
            try:
                step()
            except Exception as error:
                name = step.__name__.strip("_")
                _log.warning(f"governor {name}", "sampling: %s failed: %r", name, error)

    def _look(self) -> None:
        control = self._control
        if control is None or not control.check():
            return
        state = control.state()
        told = [f"ratio {'as configured' if state['ratio'] is None else reading.share_text(state['ratio'])}"]
        if state["boost"] is not None:
            told.append(f"boost to {reading.share_text(state['boost'])} for {state['boost_seconds_left']:.0f} s")
        if state["recall"] is not None:
            told.append(f"recall {state['recall']!r}")
        _log.line("INFO", "control file %s: %s", control.path, ", ".join(told))

    def _watch(self) -> None:
        if self._watches:
            window, now = self._window(), self._clock()
            for watch in self._watches:
                watch.observe(window, now)

    def _set_ratio(self) -> None:
        wanted = None if self._control is None else self._control.asked.ratio
        if wanted == self._ratio_set:
            return
        ours, self._ratio_set = self._ratio_set, wanted
        present = self._ratio_now()
        if ours is None:
            self._ratio_before = present
        if wanted is None and present != ours:
            return  # the application has set another one meanwhile
        ratio = self._ratio_before if wanted is None else wanted
        if ratio is None and wanted is None:
            return
        try:
            self._sampler.set_ratio(ratio)
        except (AttributeError, ConfigurationError):
            self._once("ratio", f"the control file's ratio has no effect: {self._sampler!r} has no ratio to set")

    def _ratio_now(self) -> float | None:
        ratio = getattr(self._sampler, "ratio", None)
        state = getattr(self._sampler, "state", None)
        found: float | None = state().get("ratio") if ratio is None and callable(state) else ratio
        return found

    def _set_boost(self) -> None:
        now = self._clock()
        running = self._running(now)
        foreign = None if running is None or _same(running, self._boost) else running
        if foreign is not None:
            self._boost = self._displaced = None
        alive = [boost for boost in (*self._boosts(), self._displaced, foreign) if boost is not None and boost[1] > now]
        wanted = max(alive, default=None)
        if wanted is foreign or _same(wanted, self._boost):
            self._end(now, wanted)
            return
        sampler = self._sampler
        if not callable(getattr(sampler, "boost", None)):
            self._once("boost", f"a boost has no effect: {sampler!r} can't be boosted")
            return
        if wanted is None:
            self._end(now, wanted)
            return
        back = wanted is self._displaced
        self._displaced = None if back else foreign or self._displaced
        sampler.boost(wanted[0], wanted[1] - now)
        self._boost = None if back else wanted

    def _end(self, now: float, wanted: tuple[float, float] | None) -> None:
        """End our boost if it still runs and nothing is wanted."""
        if wanted is None and self._boost is not None:
            boost, self._boost = self._boost, None
            if boost[1] > now:
                self._sampler.end_boost()

    def _running(self, now: float) -> tuple[float, float] | None:
        """The boost that the sampler has now, ours or the application's."""
        state = getattr(self._sampler, "state", None)
        if not callable(state):
            return self._boost if self._boost is not None and self._boost[1] > now else None
        boost = state().get("boost")
        return None if boost is None else (boost["ratio"], now + boost["seconds_left"])

    def _boosts(self) -> list[tuple[float, float]]:
        found = [(watch.incident.ratio, watch.until) for watch in self._watches if watch.until is not None]
        control = self._control
        if control is not None and control.asked.boost is not None and control.boost_deadline is not None:
            found.append((control.asked.boost.ratio, control.boost_deadline))
        return found

    def _recall_asked(self) -> None:
        request = None if self._control is None else self._control.asked.recall
        if request is None or self._control is None or request.id == self._recalled:
            return
        self._recalled = request.id
        count = 0
        if self._recall is not None:
            for trace_id in request.trace_ids:
                count += self._recall(trace_id)
        if request.seconds is not None and self._recall_recent is not None:
            count += self._recall_recent(request.seconds + self._control.age)
        _log.line("INFO", "recall %r of the control file: %d spans", request.id, count)

    def _recall_signalled(self) -> None:
        number, seconds, since = signals.asked
        if number != self._signals:
            self._signals = number
            if self._recall_recent is not None:
                late = max(0.0, time.monotonic() - since)
                _log.line("INFO", "recall by a signal: %d spans", self._recall_recent(seconds + late))

    def _keep_budget(self) -> None:
        if self._budget is not None:
            self._budget.look()

    def _once(self, topic: str, text: str) -> None:
        if topic not in self._told:
            self._told.add(topic)
            _log.line("WARNING", "%s", text)

    def state(self) -> dict[str, Any]:
        """For ``stats()``, beside the sampler's own: ``control_file`` with its last good reading and error, or None.

        ``incident_seconds``: since when something goes wrong, or None. ``incidents``: how many there were. ``budget``:
        what ``max_cpu_ratio`` has done, or None.
        """
        since = [watch.since for watch in self._watches if watch.since is not None]
        return {
            "control_file": None if self._control is None else self._control.state(),
            "incident_seconds": round(self._clock() - min(since), 3) if since else None,
            "incidents": sum(watch.count for watch in self._watches),
            "budget": None if self._budget is None else self._budget.state(),
        }


def _same(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return one[0] == other[0] and abs(one[1] - other[1]) < SLACK_SECONDS
