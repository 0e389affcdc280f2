"""Samplers bound to recorders: each recorder has its sampler's thresholds as they are now, and knows until when.

A sampler may serve several recorders, and may stand inside of another one. Recorders are kept alive by nothing here.
"""

from __future__ import annotations

import weakref

from fasttrace.sampling import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.sampling.base import Answer, Sampler

# One at a time brings the recorders up to date, so that none is left with what an earlier one has read.
_lock = clock.Lock()
_bindings: dict[int, weakref.ref[_Binding]] = {}


class _Binding:
    """One recorder and the sampler that decides for it; lives as long as the recorder, which calls it."""

    __slots__ = ("__weakref__", "max_ratio", "recorder", "sampler")

    def __init__(self, recorder: Any, sampler: Sampler) -> None:
        self.recorder = recorder
        self.sampler = sampler
        self.max_ratio: float | None = None  # until there has been a cap

    def expire(self) -> None:
        """Called by the core at ``expires_ns``: a boost is over, or a remote strategy is old."""
        self.sampler.wake(clock.now_ns())
        refresh()

    def refresh(self) -> None:
        recorder, sampler = self.recorder, self.sampler
        thresholds, members = sampler.thresholds(), sampler.ot_members()
        if self.max_ratio is not None:
            from fasttrace.sampling import cap

            recorder.decide = self.decide
            thresholds, members = cap.capped(thresholds, members, self.max_ratio)
        # A span that begins between the two lines gets a `th` that its randomness reaches all the same.
        if 0 <= thresholds[0] < recorder.thresholds[0]:
            recorder.ot_members = members
            recorder.thresholds = thresholds
        else:
            recorder.thresholds = thresholds
            recorder.ot_members = members
        recorder.expires_ns = sampler.wake_ns()

    def decide(self, rule: int, parent: Any, trace_id: int, *rest: Any) -> Answer:
        """The sampler's answer, below the cap."""
        from fasttrace.sampling import cap

        answer = self.sampler.decide(rule, parent, trace_id, *rest)
        return cap.judged(answer, rule, trace_id, parent, 1.0 if self.max_ratio is None else self.max_ratio)


def bind(sampler: Sampler, recorder: Any) -> None:
    """Let a sampler decide for a recorder from now on, whatever is changed about it later."""
    binding = _Binding(recorder, sampler)
    key = id(binding)
    recorder.decide = sampler.decide
    recorder.on_expire = binding.expire
    with _lock:
        _bindings[key] = weakref.ref(binding, lambda _: _bindings.pop(key, None))
        binding.refresh()


def set_cap(recorder: Any, max_ratio: float) -> None:
    """Record at most this share of the traces that come in from now on, whatever the recorder's sampler says."""
    with _lock:
        for reference in list(_bindings.values()):
            binding = reference()
            if binding is not None and binding.recorder is recorder:
                binding.max_ratio = max_ratio
                binding.refresh()


def refresh() -> None:
    """Bring every recorder up to date: something has changed about some sampler."""
    with _lock:
        for reference in list(_bindings.values()):
            binding = reference()
            if binding is not None:
                binding.refresh()
