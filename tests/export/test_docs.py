"""docs/exporting.md: its example runs as it stands, and it names every exporter and variable."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fasttrace import config, export

TEXT = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text()


def test_the_exporter_of_your_own_runs_as_it_stands(tmp_path: Path) -> None:
    match = re.search(r"```python\n(import time\n.+?)```", TEXT, re.DOTALL)
    assert match is not None
    program = match[1] + "\nimport sys\nsys.stdout.flush()\nsys.stdout.buffer.write(queue[0])\n"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60, env=os.environ)
    said, _, request = run.stdout.partition(b"\n")
    assert re.fullmatch(r"shop: checkout took \d+ ms", said.decode())
    (resource_spans,) = ExportTraceServiceRequest.FromString(request).resource_spans
    assert [span.name for span in resource_spans.scope_spans[0].spans] == ["checkout"]
    assert run.stderr == b""


def test_every_exporter_and_every_variable_of_otlp_is_there() -> None:
    for name in config.EXPORTERS:
        assert f"| `{name}` | `" in TEXT
    source = Path(export.__file__).parent
    names = set(re.findall(r'variable\("(\w+)"\)', "".join(path.read_text() for path in source.glob("otlp_*.py"))))
    assert len(names) > 7
    for name in names:
        assert f"OTEL_EXPORTER_OTLP_{name}`" in TEXT or f"..._{name}`" in TEXT, name
