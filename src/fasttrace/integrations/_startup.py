"""How a Python that ``fasttrace run`` has started begins: configured by the environment, everything instrumented."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType

from fasttrace import process
from fasttrace.integrations import _registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.provider import TracerProvider

# The folder that PYTHONPATH begins with. Any Python may find it: it holds sitecustomize.py and nothing else.
SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_site")
# What is still to be told on standard error: "all", "start" after the lack of fasttrace, "nothing" after a failure.
# Where it is not set only a failure is. Programs that this one starts inherit what has been told.
ANNOUNCE = "FASTTRACE_RUN_ANNOUNCE"


def start() -> None:
    """Trace this process; the first one says so in a line. Raises nothing: without tracing it runs all the same."""
    announce = os.environ.pop(ANNOUNCE, "")
    try:
        made = _configure()
        names = _registry.instrument((), {})
        if announce in ("all", "start"):
            _say(_summary(made, names))
    except Exception as error:
        os.environ[ANNOUNCE] = "nothing"
        if announce != "nothing":
            _say(f"runs untraced: {' '.join(str(error).split()) or type(error).__name__}")


def _configure() -> TracerProvider:
    """``configure``, with urllib3 left for later where gevent or eventlet may come and patch what it stands on.

    Had it taken classes of ssl's before, the application could open no connection with it any more (gevent#1016). What
    exporters need of it they import again for their first request; here they only want to be early.
    """
    if "urllib3" in sys.modules or not any(map(importlib.util.find_spec, ("gevent", "eventlet"))):
        return process.configure()
    sys.modules["urllib3"] = ModuleType("urllib3")
    try:
        return process.configure()
    finally:
        del sys.modules["urllib3"]


def _summary(made: TracerProvider, names: list[str]) -> str:
    if made.settings.disabled:
        return f"disabled by {made.settings.sources['disabled']}"
    service = str(made.resource["service.name"])
    if service.startswith("unknown_service"):
        service += " (--service names it)"
    where = made.stats()["destination"] or made.stats()["exporter"]
    return f"{service}: spans go to {where}; traced when imported: {', '.join(names) or 'nothing'}"


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"fasttrace: {text}\n")
        sys.stderr.flush()
    except Exception:
        pass  # no standard error: nobody to tell
