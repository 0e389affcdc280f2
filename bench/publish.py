"""Makes the tables of docs/performance.md anew: ``python bench/publish.py``.

    python bench/publish.py [--only REGEX] [--rounds N] [3.11=/path/to/python ...]

The page says itself how: what is between ``<!-- PYTHON: COMMAND -->`` and ``<!-- end -->`` is what a benchmark of this
folder writes with ``--markdown``. PYTHON is a version, pyenv's newest or the one on PATH, or ``debian-`` and a version,
the distribution's own; each gets an environment in ``~/.cache/fasttrace-bench``, with this tree built by its own flags.
A Python that is not here leaves its tables as they are, with a message.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import environments

PAGE = environments.ROOT / "docs" / "performance.md"
TABLE = re.compile(r"<!-- (?P<python>[\w.-]+): (?P<command>\w+\.py[^\n]*?) -->\n(?P<body>.*?)<!-- end -->", re.DOTALL)


def find(name: str) -> str | None:
    """The interpreter that a name means; None if it is not here."""
    if name.startswith("debian-"):
        return shutil.which(f"/usr/bin/python{name.removeprefix('debian-')}")
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(root.glob(f"versions/{name}.*/bin/python"), key=lambda path: int(path.parts[-3].split(".")[2]))
    return str(found[-1]) if found else shutil.which(f"python{name}")


def run(interpreter: str, command: str) -> str:
    """What a benchmark writes."""
    script, *options = shlex.split(command)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "table.md"
        arguments = [str(Path(__file__).parent / script), *options, "--markdown", str(written)]
        # Away from the tree, whose packages are not those that were built for this Python.
        subprocess.run([interpreter, *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        return written.read_text(encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", help="tables for which this regular expression is found in ``PYTHON: COMMAND``"
    )
    parser.add_argument("--rounds", help="so many instead of those that the page says, for a first look")
    parser.add_argument("pythons", nargs="*", metavar="NAME=PATH", help="the interpreter of a name")
    arguments = parser.parse_args()
    bases: dict[str, str] = dict(given.split("=", 1) for given in arguments.pythons)
    interpreters: dict[str, str] = {}
    for table in TABLE.finditer(PAGE.read_text(encoding="utf-8")):
        name, command = table["python"], table["command"]
        if not re.search(arguments.only, f"{name}: {command}"):
            continue
        base = bases.get(name) or find(name)
        if base is None:
            print(f"{name}: not here, {command} is left as it was", file=sys.stderr)
            continue
        if name not in interpreters:
            interpreters[name] = environments.with_this_tree(base)
        print(f"{name}: {command}", flush=True)
        head = f"<!-- {name}: {command} -->\n"
        if arguments.rounds:
            command = re.sub(r"--rounds \d+", f"--rounds {arguments.rounds}", command)
        body = f"{head}{run(interpreters[name], command)}<!-- end -->"
        # One by one, so that what an interrupted run has made is kept.
        page = PAGE.read_text(encoding="utf-8")
        begin = page.index(head)
        end = page.index("<!-- end -->", begin) + len("<!-- end -->")
        PAGE.write_text(page[:begin] + body + page[end:], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
