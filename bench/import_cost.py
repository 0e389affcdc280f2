"""What ``import fasttrace`` costs in CPU time beyond the bare interpreter: ``python bench/import_cost.py [--runs 25]``.

Install the package first: what pip installs has its bytecode, a source tree may not.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys


def milliseconds(program: str) -> float:
    """User and system time of one interpreter that runs a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=25, help="interpreters of each kind, in turn (default: 25)")
    samples = [(milliseconds("pass"), milliseconds("import fasttrace")) for _ in range(parser.parse_args().runs)]
    bare, loaded = (statistics.median(column) for column in zip(*samples, strict=True))
    print(f"bare {bare:.1f} ms, with fasttrace {loaded:.1f} ms, difference {loaded - bare:.1f} ms")


if __name__ == "__main__":
    main()
