"""``fasttrace sampling``: writes the control file that running processes follow."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime

from fasttrace import config
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import control, reading
from fasttrace.sampling.control_text import Asked, Boost, Recall


def run(arguments: argparse.Namespace) -> int:
    """Do one action on the control file; raises ConfigurationError for a file that can't be used."""
    path = _path(arguments.file)
    if arguments.action == "reset":
        control.save(path, Asked())
        print(f"{path}: every process samples as configured")
        return 0
    try:
        asked = control.load(path)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; `fasttrace sampling reset` writes a new one") from None
    if arguments.action == "show":
        return _show(path, asked, as_json=arguments.json)
    if asked.boost is not None and asked.boost.until <= datetime.now(UTC):
        asked.boost = None
    said = _ACTIONS[arguments.action](asked, arguments)
    control.save(path, asked)
    print(f"{path}: {said}")
    return 0


def _path(given: str | None) -> str:
    if given is not None:
        return given
    setting = config.resolve({}, {key: value for key, value in os.environ.items() if key == "FASTTRACE_CONTROL_FILE"})
    path = control.chosen_path(setting.control_file, os.environ)
    if path is None:
        raise ConfigurationError("FASTTRACE_CONTROL_FILE=none: processes follow no file; name theirs with --file")
    return path


def _boost(asked: Asked, arguments: argparse.Namespace) -> str:
    asked.boost = Boost(arguments.ratio, control.until(arguments.seconds))
    return f"boost to {reading.share_text(arguments.ratio)} until {_time(asked.boost.until)}"


def _ratio(asked: Asked, arguments: argparse.Namespace) -> str:
    asked.ratio = arguments.ratio
    return f"ratio {reading.share_text(arguments.ratio)} until further notice"


def _recall(asked: Asked, arguments: argparse.Namespace) -> str:
    if not arguments.trace_ids and arguments.seconds is None:
        arguments.parser.error("give the trace ids to recall, or --seconds")
    asked.recall = Recall(os.urandom(8).hex(), tuple(arguments.trace_ids), arguments.seconds)
    return _recall_text(asked.recall)


_ACTIONS = {"boost": _boost, "ratio": _ratio, "recall": _recall}


def _recall_text(recall: Recall) -> str:
    parts = [f"{trace_id:032x}" for trace_id in recall.trace_ids]
    if recall.seconds is not None:
        parts.append(f"what was dropped in the {reading.seconds_text(recall.seconds)} before")
    return f"recall {', '.join(parts)}"


def _time(until: datetime) -> str:
    return until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _show(path: str, asked: Asked, *, as_json: bool) -> int:
    boost, recall = asked.boost, asked.recall
    left = None if boost is None else (boost.until - datetime.now(UTC)).total_seconds()
    if as_json:
        data = {
            "path": path,
            "ratio": asked.ratio,
            "boost": None
            if boost is None
            else {"ratio": boost.ratio, "until": boost.until.isoformat(), "seconds_left": left},
            "recall": None
            if recall is None
            else {"id": recall.id, "trace_ids": [f"{i:032x}" for i in recall.trace_ids], "seconds": recall.seconds},
        }
        json.dump(data, sys.stdout, indent=2)
        print()
        return 0
    print(f"file    {path}" + ("" if os.path.exists(path) else " (not there)"))
    print(f"ratio   {'as configured' if asked.ratio is None else reading.share_text(asked.ratio)}")
    if boost is not None and left is not None:
        ends = f"{left:.0f} s left" if left > 0 else "over"
        print(f"boost   {reading.share_text(boost.ratio)} until {_time(boost.until)}, {ends}")
    else:
        print("boost   none")
    print(f"recall  {'none' if recall is None else _recall_text(recall).removeprefix('recall ')}")
    return 0
