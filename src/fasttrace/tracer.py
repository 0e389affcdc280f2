"""The process-wide tracers: handed out before ``configure``, live after it."""

from __future__ import annotations

import _thread

from fasttrace._core import InstrumentationScope, Tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fasttrace._core import Recorder

__all__ = ["Tracer", "TracerRegistry"]


class TracerRegistry:
    """One tracer for each instrumentation scope; all of them send to the recorder bound last."""

    def __init__(self, recorder: Recorder | None = None, tracer_type: type[Tracer] = Tracer) -> None:
        self._recorder = recorder
        self._tracer_type = tracer_type
        self._tracers: dict[InstrumentationScope, Tracer] = {}
        # Keeps "one tracer a scope" true when threads ask for the same name at once.
        self._lock = _thread.allocate_lock()

    def get(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Tracer:
        """The tracer of a scope; the same object for equal arguments."""
        scope = InstrumentationScope(name or "", version or "", schema_url or "", attributes)
        tracer = self._tracers.get(scope)
        if tracer is None:
            with self._lock:
                tracer = self._tracers.get(scope)
                if tracer is None:
                    tracer = self._tracers[scope] = self._tracer_type(scope, self._recorder)
        return tracer

    def bind(self, recorder: Recorder | None) -> None:
        """Send what starts from now on, in every tracer handed out so far, to this recorder."""
        with self._lock:
            self._recorder = recorder
            for tracer in self._tracers.values():
                tracer.bind(recorder)
