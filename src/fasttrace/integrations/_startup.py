"""How a Python that ``fasttrace run`` has started begins: configured by the environment, everything instrumented."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from types import ModuleType

from fasttrace import process
from fasttrace.integrations import _registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.provider import TracerProvider

# The folder that PYTHONPATH begins with. Any Python may find it: it holds sitecustomize.py and nothing else.
SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_site")
# What is still to be told on standard error: "verbose" or "all", "start" after the lack of fasttrace, "libraries" by
# every process below a verbose one, "nothing" after a failure. Where it is not set only a failure is. Programs that
# this one starts inherit what has been told.
ANNOUNCE = "FASTTRACE_RUN_ANNOUNCE"


def start() -> None:
    """Trace this process; the first one says so in a line. Raises nothing: without tracing it runs all the same."""
    announce = os.environ.pop(ANNOUNCE, "")
    try:
        made = _configure()
        if announce in ("all", "start", "verbose"):
            _say(_summary(made))
        if announce in ("verbose", "libraries"):
            os.environ[ANNOUNCE] = "libraries"
            _registry.tell = _tell
        _registry.instrument((), {})
    except Exception as error:
        os.environ[ANNOUNCE] = "nothing"
        if announce != "nothing":
            _say(f"runs untraced: {' '.join(str(error).split()) or type(error).__name__}")


def _configure() -> TracerProvider:
    """``configure``, each of its warnings in a line."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: _say(str(message))
        return _configure_without_urllib3()


def _configure_without_urllib3() -> TracerProvider:
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


def _summary(made: TracerProvider) -> str:
    if made.settings.disabled:
        return f"disabled by {made.settings.sources['disabled']}"
    service = str(made.resource["service.name"])
    if service.startswith("unknown_service"):
        service += " (--service names it)"
    if made.settings.exporter == "none":
        return f"{service}: spans go nowhere, says {made.settings.sources['exporter']}"
    return f"{service}: spans go to {made.stats()['destination'] or made.settings.exporter}"


def _tell(name: str) -> None:
    _say(f"process {os.getpid()}: {name} is traced")


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"fasttrace: {text}\n")
        sys.stderr.flush()
    except Exception:
        pass  # no standard error: nobody to tell
