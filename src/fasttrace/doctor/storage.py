"""The folders on disk: the local spool, and the spans that could not be delivered yet.

Only reads, but for a file that shows that a folder can be written and is removed at once.
"""

from __future__ import annotations

import os
import time
from typing import Any

from fasttrace._core import DecodeError
from fasttrace.config import Settings
from fasttrace.doctor.report import Report
from fasttrace.errors import SpoolError
from fasttrace.export import request, segments, spool, undelivered


def examine_spool(report: Report, settings: Settings) -> None:
    """The local spool, which needs to be writable only where it is the exporter."""
    report.begin("spool")
    directory = settings.spool_dir or spool.default_directory()
    report.ok("folder", directory, folder=directory)
    if settings.exporter == "spool":
        _examine_writable(report, directory, "FASTTRACE_SPOOL_DIR")
    elif not os.path.isdir(directory):
        report.ok("contents", f"none; the exporter is {settings.exporter}")
    if os.path.isdir(directory):
        _examine_contents(report, directory, settings.spool_max_bytes)
        _examine_permissions(report, directory)


def examine_undelivered(report: Report, settings: Settings, exporter: Any) -> None:
    """What waits for receivers that were away: this one's, and others'."""
    report.begin("undelivered")
    root = settings.undelivered_dir or undelivered.default_root(os.environ)
    if root.lower() == "none":
        report.ok("folder", "none: what can't be delivered is dropped", folder=None)
        return
    report.ok("folder", root, folder=root)
    destination = getattr(exporter, "destination", None)
    own = undelivered.folder(root, str(destination)) if destination is not None else None
    if own is not None:
        _examine_writable(report, own, "FASTTRACE_UNDELIVERED_DIR")
    try:
        folders = sorted(entry.path for entry in os.scandir(root) if entry.is_dir()) if os.path.isdir(root) else []
    except OSError as error:
        report.error("contents", f"{root} can't be read ({error.strerror})", "see who owns it")
        return
    for folder in folders:
        _examine_waiting(report, folder, own=folder == own, max_bytes=settings.undelivered_max_bytes)
        _examine_permissions(report, folder)
    if not folders:
        report.ok("waiting", "nothing", spans=0)


def _examine_writable(report: Report, directory: str, variable: str) -> None:
    advice = f"set {variable} to a folder that can be written"
    if os.path.isdir(directory):
        try:
            segments.check_directory(directory)
        except OSError as error:
            report.error("writable", f"{directory} can't be written ({error.strerror})", advice)
        else:
            report.ok("writable", "yes")
        return
    parent = os.path.abspath(directory)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK):
        report.ok("writable", "not there yet; it is made when it is needed")
    else:
        why = "is read-only" if os.path.isdir(parent) else "is no folder"
        report.error("writable", f"{directory} can't be made: {parent} {why}", advice)


def _examine_contents(report: Report, directory: str, max_bytes: int) -> None:
    try:
        sizes = segments.sizes(directory)
        damaged = sum(_damaged_bytes(path, size) for path, size in sizes)
    except (SpoolError, OSError) as error:
        report.error("contents", str(error), "see who owns it")
        return
    total = sum(size for _, size in sizes)
    text = f"{_plural(len(sizes), 'segment')}, {total:,} of {max_bytes:,} bytes"
    report.ok("contents", text, segments=len(sizes), bytes=total, max_bytes=max_bytes)
    _tell_damaged(report, damaged)


def _examine_waiting(report: Report, folder: str, *, own: bool, max_bytes: int) -> None:
    spans = total = damaged = 0
    oldest: int | None = None
    name = os.path.basename(folder)
    try:
        for path, size in segments.sizes(folder):
            total += size
            damaged += _damaged_bytes(path, size)
            waiting = _waiting_spans(path)
            spans += waiting
            begun = os.path.basename(path).partition("-")[0]
            if waiting and begun.isdigit():
                oldest = int(begun) if oldest is None else min(oldest, int(begun))
    except (SpoolError, OSError) as error:
        report.error("waiting", str(error), "see who owns it")
        return
    age = None if oldest is None else max(0.0, time.time() - oldest / 1e9)
    since = "" if age is None else f", the oldest for {_duration(age)}"
    text = f"{name}: {_plural(spans, 'span')}{since}; {total:,} of {max_bytes:,} bytes"
    data: dict[str, Any] = {"folder": folder, "own": own, "spans": spans, "bytes": total, "oldest_seconds": age}
    if not spans:
        report.ok("waiting", text, **data)
    elif own:
        report.warning("waiting", text, "the next process with this endpoint and these headers delivers them", **data)
    else:
        advice = "for another endpoint, or other headers; a process that has them delivers these, or delete the folder"
        report.warning("waiting", text, advice, **data)
    _tell_damaged(report, damaged)


def _waiting_spans(path: str) -> int:
    spans = 0
    for body, _ in segments.read(path, delivered=False):
        try:
            spans += request.count_spans(body)
        except DecodeError:
            continue
    return spans


def _damaged_bytes(path: str, size: int) -> int:
    """Bytes of a segment that belong to no whole frame; ``size`` is from before: it may grow meanwhile."""
    return max(0, size - sum(len(body) + segments.FRAME.size for body, _ in segments.read(path)))


def _tell_damaged(report: Report, damaged: int) -> None:
    if damaged:
        text = f"{damaged:,} bytes are torn or damaged, and skipped"
        report.warning("damaged", text, "a process was killed while it wrote, or the disk is full", bytes=damaged)


def _examine_permissions(report: Report, directory: str) -> None:
    """Others may not read: attributes may hold personal data."""
    if os.name == "nt":
        return
    wrong = [directory] if os.stat(directory).st_mode & 0o077 else []
    for path in segments.paths(directory):
        try:
            if os.stat(path).st_mode & 0o077:
                wrong.append(path)
        except FileNotFoundError:
            continue
    if wrong:
        text = f"others may read {wrong[0]}" + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
        report.warning("permissions", text, f"chmod -R go= {directory}", paths=wrong)
    else:
        report.ok("permissions", "only the owner may read")


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
