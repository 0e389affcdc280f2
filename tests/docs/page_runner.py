"""Runs the Python blocks of one page, given as JSON on standard input, one after the other in one namespace.

Of a block with ``printed`` the output must be that, where ``...`` is anything.
"""

from __future__ import annotations

import doctest
import io
import json
import sys
from contextlib import redirect_stdout


def main() -> int:
    """The exit code is 1 if a block printed something else; what a block raises ends all."""
    namespace = {"__name__": "__main__"}
    for block in json.load(sys.stdin):
        # Tracebacks have the lines of the page.
        code = compile("\n" * (block["line"] - 1) + block["text"], block["page"], "exec")
        said = io.StringIO()
        with redirect_stdout(said):
            exec(code, namespace)
        expected = block["printed"]
        if expected is not None and not doctest.OutputChecker().check_output(
            expected, said.getvalue(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        ):
            print(f"{block['page']}:{block['line']} printed\n{said.getvalue()}and not\n{expected}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
