"""Subinterpreters: importing works, contexts travel, and recording is refused with a sentence that says what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from succeeding import succeed

PROGRAM = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

if sys.version_info >= (3, 13):
    interpreter = interpreters.create(sys.argv[1])
else:
    interpreter = interpreters.create(isolated=sys.argv[1] == "isolated")
import fasttrace  # the main interpreter has the compiled core by now
fasttrace.configure(exporter="memory")
result = interpreters.run_string(interpreter, '''
import sys, warnings
warnings.simplefilter("ignore")
import fasttrace
print(*fasttrace.implementation())
header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
with fasttrace.use(fasttrace.extract({"traceparent": header})):
    with fasttrace.get_tracer("x").start_as_current_span("operation"):
        print(fasttrace.inject({})["traceparent"] == header)
try:
    fasttrace.configure(exporter="memory")
except fasttrace.ConfigurationError as error:
    print(error)
sys.stdout.flush()
''')
if result is not None:
    print(result.formatted)
if sys.argv[2] == "destroy":
    interpreters.destroy(interpreter)
print("end")
"""

DEMANDS_CYTHON = PROGRAM.replace(
    "import sys, warnings", "import os, sys, warnings; os.environ['FASTTRACE_IMPL'] = 'cython'"
)


@pytest.mark.parametrize("end", ["destroy", "leave"])
@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_a_subinterpreter_forwards_contexts_and_refuses_to_record(kind: str, end: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "FASTTRACE_IMPL"}
    run = succeed([sys.executable, "-W", "ignore", "-c", PROGRAM, kind, end], quiet=True, env=environment)
    implementation, forwarded, refused, last = run.stdout.splitlines()
    assert implementation.startswith("python in a subinterpreter: ")
    assert (forwarded, last) == ("True", "end")
    assert "WSGIApplicationGroup %{GLOBAL}" in refused


def test_the_compiled_core_says_why_it_can_not_be_had() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DEMANDS_CYTHON, "legacy", "leave"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "FASTTRACE_IMPL": "auto"},  # the main interpreter has the compiled core
    )
    assert "FASTTRACE_IMPL=python runs in subinterpreters" in run.stdout + run.stderr
