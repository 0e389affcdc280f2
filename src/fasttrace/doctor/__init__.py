"""What would happen if this environment called ``fasttrace.configure()``, and what is wrong with it.

Sends no spans and leaves nothing behind: a file that shows that a folder can be written is removed at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from fasttrace import config
from fasttrace.doctor import destination, processes, settings, storage
from fasttrace.doctor.report import Report

__all__ = ["Report", "examine"]


def examine(
    *, spool: str | None = None, offline: bool = False, timeout: float = 5.0, libraries: Sequence[str] = ()
) -> Report:
    """Look at everything, of the environment's variables and files; ``offline`` leaves out the network.

    ``spool`` is the local spool's folder, if not the configured one; ``timeout`` bounds, in seconds, each wait for the
    network; ``libraries`` are those that ``fasttrace run`` would trace. Never raises for what it finds.
    """
    report = Report()
    settings.examine_installation(report, libraries)
    problems = config.problems(os.environ)
    found = settings.examine_settings(report, problems, spool)
    exporter = destination.examine_destination(report, found, offline=offline, timeout=timeout)
    storage.examine_spool(report, found)
    processes.examine_processes(report, found)
    storage.examine_undelivered(report, found, exporter)
    return report
