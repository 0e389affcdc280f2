"""How the benchmarks say what they have found: Markdown tables, and what they were made on."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def times(ratio: float | None, digits: int = 1) -> str:
    """A ratio, or a dash for none."""
    return "–" if ratio is None else f"{ratio:.{digits}f}x"


def spread(nanoseconds: Sequence[float]) -> str:
    """A median, and half the distance of the quartiles."""
    median = statistics.median(nanoseconds)
    quartiles = statistics.quantiles(nanoseconds, n=4)
    return f"{median:,.0f} ns ±{(quartiles[2] - quartiles[0]) / 2 / median:.0%}"


def machine() -> str:
    """Versions, the interpreter's build and processor, in one line."""
    return (
        f"fasttrace {_version('fasttrace')}, opentelemetry-sdk {_version('opentelemetry-sdk')}, "
        f"CPython {platform.python_version()} ({_build()}), {_processor()}, {os.cpu_count()} cores"
    )


def _build() -> str:
    """Whether it is optimised with profiles; distributions do so by means that leave no trace in its configuration."""
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        return "optimised with profiles"
    return "the distribution's build" if sys.base_prefix == "/usr" else "built without profiles"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def give(lines: Sequence[str], markdown: Path | None) -> None:
    """Print, and write to a file if one was asked for."""
    text = "\n".join(lines)
    print(text)
    if markdown is not None:
        markdown.write_text(text + "\n", encoding="utf-8")
