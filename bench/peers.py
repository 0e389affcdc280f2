"""Ours and what a user would take instead, from PyPI: ``python bench/peers.py``.

Each peer has an environment, made on first use in ``~/.cache/fasttrace-bench``, and processes of its own; one that
can't be installed is skipped with a message. Rounds are interleaved. CPU time of the calling thread, which is what an
application pays: what a peer does on its own threads, which for those with a native core is most of the export, is not
in it; ``bench/export.py`` has the whole bill. Ratios are medians of the rounds' own.

    python bench/peers.py [--rounds 20] [--only TEXT] [--check] [--markdown FILE]

``--check`` exits with 1 when a peer's span costs less than 5 times ours, or anything else of a peer's less than ours.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import cases
import environments
import report
from children import Child, interleaved, receiving

PEERS = ("pytracingx", "honeycomb_pycpp", "ddtrace", "elastic_apm", "sentry_sdk", "logfire")
OURS, SDK = "fasttrace", "opentelemetry-sdk"
PROMISED_SPAN, PROMISED_OTHER = 5.0, 1.0
Found = dict[str, dict[str, list[float]]]


def subject(name: str, endpoint: str, *, sampled: bool) -> cases.Subject:
    """By the name of its file, or ours or the SDK, which have both kinds of spans in one process."""
    from subjects import otel, ours

    if name in PEERS:
        made: cases.Subject = import_module(f"subjects.{name}").make(endpoint, sampled=sampled)
        return made
    return ours.make("cython") if name == OURS else otel.make()


def child(name: str, sampled: bool, endpoint: str) -> None:
    """Say which cases there are, then answer each with nanoseconds per call."""
    made = subject(name, endpoint, sampled=sampled)
    for line in sys.stdin:
        case = line.rstrip("\n")
        if case == "cases":
            print(json.dumps(list(made.loops)), flush=True)
            continue
        calls = cases.calls(case)
        made.drain()
        gc.collect(0)
        print(made.loops[case](range(calls)) / calls, flush=True)


def measure(rounds: int, only: str) -> Found:
    """Samples by case and subject."""
    pythons = {OURS: sys.executable, SDK: sys.executable}
    for name in PEERS:
        requirements = import_module(f"subjects.{name}").REQUIREMENTS
        try:
            pythons[name] = environments.python(name, requirements)
        except environments.CanNotBeMade as error:
            print(f"{name}: skipped, {', '.join(requirements)} can't be installed: {error}", file=sys.stderr)
    found: Found = {case: {} for case in cases.CASES if only in case}
    with receiving() as endpoint:
        for sampled in (True, False):
            group = [case for case in found if (case not in cases.UNSAMPLED) == sampled]
            children = {
                name: Child(python, __file__, "--child", name, str(int(sampled)), endpoint)
                for name, python in pythons.items()
            }
            try:
                able = {name: json.loads(one.ask("cases")) for name, one in children.items()}
                for case in group:
                    names = [name for name in children if case in able[name]]
                    found[case] = interleaved(children, names, case, rounds)
            finally:
                for one in children.values():
                    one.end()
    return found


def ratios(samples: dict[str, list[float]]) -> dict[str, float]:
    """How many times ours each peer takes."""
    return {
        name: statistics.median(one / own for one, own in zip(values, samples[OURS], strict=True))
        for name, values in samples.items()
        if name != OURS
    }


def table(found: Found) -> list[str]:
    """A Markdown table: ours, the strongest peer, and each peer's ratio."""
    peers = [name for name in (SDK, *PEERS) if any(name in samples for samples in found.values())]
    rows = []
    for case, samples in found.items():
        by_peer = ratios(samples)
        strongest = min(by_peer, key=by_peer.__getitem__, default=None)
        best = "–" if strongest is None else f"{_shown(strongest)} {report.times(by_peer[strongest])}"
        cells = [report.times(by_peer.get(name)) for name in peers]
        rows.append((case, report.spread(samples[OURS]), best, *cells))
    return report.table(("case", "fasttrace", "strongest peer", *map(_shown, peers)), rows)


def _shown(name: str) -> str:
    return name.replace("_", "-")


def failures(found: Found) -> list[str]:
    """The peers that are nearer than promised."""
    return [
        f"{case}: {_shown(name)} takes {ratio:.1f} times as long, promised is {promised:.0f}"
        for case, samples in found.items()
        for name, ratio in ratios(samples).items()
        if ratio < (promised := PROMISED_SPAN if case in cases.SPAN_CASES else PROMISED_OTHER)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="samples of each case and subject (default: 20)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a peer is nearer than promised")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, sampled, endpoint = arguments.child
        child(name, sampled == "1", endpoint)
        return 0
    found = measure(arguments.rounds, arguments.only)
    versions = ", ".join(
        requirement.replace("==", " ")
        for name in PEERS
        for requirement in import_module(f"subjects.{name}").REQUIREMENTS
    )
    report.give(
        [f"{report.machine()}; {versions}; medians of {arguments.rounds} samples.", "", *table(found)],
        arguments.markdown,
    )
    missed = failures(found) if arguments.check else []
    for line in missed:
        print("missed:", line, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
