"""How a Python that ``fasttrace run`` has started begins: configured by the environment, everything instrumented."""

from __future__ import annotations

import os
import sys

from fasttrace import lifecycle, provider
from fasttrace.errors import ConfigurationError
from fasttrace.integrations import _registry

# The folder that PYTHONPATH begins with. Any Python may find it: it holds sitecustomize.py and nothing else.
SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_site")
# What is still to be told on standard error: "all", "start" after the lack of fasttrace, "nothing" after a failure.
# Where it is not set only a failure is. Programs that this one starts inherit what has been told.
ANNOUNCE = "FASTTRACE_RUN_ANNOUNCE"


def start() -> None:
    """Trace this process; the first one says so in a line. Raises nothing: without tracing it runs all the same."""
    try:
        lifecycle.refuse_subinterpreter()
    except ConfigurationError:
        return
    announce = os.environ.pop(ANNOUNCE, "")
    try:
        made = provider.configure()
        names = _registry.instrument((), {})
        if announce in ("all", "start"):
            _say(_summary(made, names))
    except Exception as error:
        os.environ[ANNOUNCE] = "nothing"
        if announce != "nothing":
            _say(f"runs untraced: {' '.join(str(error).split()) or type(error).__name__}")


def _summary(made: provider.TracerProvider, names: list[str]) -> str:
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
