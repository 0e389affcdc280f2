"""Samplers bound to recorders: each recorder has its sampler's thresholds as they are now, and knows until when.

A sampler may serve several recorders, and may stand inside of another one. Recorders are kept alive by nothing here.
"""

from __future__ import annotations

import weakref

from fasttrace.sampling import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.sampling.base import Sampler

# One at a time brings the recorders up to date, so that none is left with what an earlier one has read.
_lock = clock.Lock()
_bindings: dict[int, weakref.ref[_Binding]] = {}


class _Binding:
    """One recorder and the sampler that decides for it; lives as long as the recorder, which calls it."""

    __slots__ = ("__weakref__", "recorder", "sampler")

    def __init__(self, recorder: Any, sampler: Sampler) -> None:
        self.recorder = recorder
        self.sampler = sampler

    def expire(self) -> None:
        """Called by the core at ``expires_ns``: a boost is over, or a remote strategy is old."""
        self.sampler.wake(clock.now_ns())
        refresh()

    def refresh(self) -> None:
        recorder, sampler = self.recorder, self.sampler
        thresholds, members = sampler.thresholds(), sampler.ot_members()
        # A span that begins between the two lines gets a `th` that its randomness reaches all the same.
        if 0 <= thresholds[0] < recorder.thresholds[0]:
            recorder.ot_members = members
            recorder.thresholds = thresholds
        else:
            recorder.thresholds = thresholds
            recorder.ot_members = members
        recorder.expires_ns = sampler.wake_ns()


def bind(sampler: Sampler, recorder: Any) -> None:
    """Let a sampler decide for a recorder from now on, whatever is changed about it later."""
    binding = _Binding(recorder, sampler)
    key = id(binding)
    recorder.decide = sampler.decide
    recorder.on_expire = binding.expire
    with _lock:
        _bindings[key] = weakref.ref(binding, lambda _: _bindings.pop(key, None))
        binding.refresh()


def refresh() -> None:
    """Bring every recorder up to date: something has changed about some sampler."""
    with _lock:
        for reference in list(_bindings.values()):
            binding = reference()
            if binding is not None:
                binding.refresh()
