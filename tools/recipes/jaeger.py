"""Jaeger v2, all in one, with memory for storage; compiled from Go's module proxy.

The module's path has no ``/v2``, so the proxy serves version 2 under the tag that version 1 had in the same release:
2.13.0 is ``cmd/jaeger`` of v1.76.0. Its page is a placeholder, since the page's files are in another repository.
"""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from recipes import _kit
from recipes._peer import Peer, Place, accepts

VERSION = "2.13.0"
MODULE = "github.com/jaegertracing/jaeger"
TAG = "v1.76.0"

CONFIG = (
    _kit.OTLP_RECEIVER
    + """\
extensions:
  jaeger_storage:
    backends:
      memory:
        memory:
          max_traces: 100000
  jaeger_query:
    enable_tracing: false
    storage:
      traces: memory
    http:
      endpoint: 127.0.0.1:${env:PORT_QUERY}
    grpc:
      endpoint: 127.0.0.1:${env:PORT_QUERY_GRPC}
  remote_sampling:
    file:
      path: ${env:STRATEGIES}
      reload_interval: 100ms
    http:
      endpoint: 127.0.0.1:${env:PORT_SAMPLING}
    grpc:
      endpoint: 127.0.0.1:${env:PORT_SAMPLING_GRPC}
exporters:
  jaeger_storage_exporter:
    trace_storage: memory
service:
  extensions: [jaeger_storage, jaeger_query, remote_sampling]
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
"""
)


def _install(into: Path) -> None:
    # Its own go.mod has a replacement, which holds only where it is the main module; so it is compiled from a copy.
    found = json.loads(_kit.run(["go", "mod", "download", "-json", f"{MODULE}@{TAG}"], cwd=into))
    source = into / "source"
    shutil.copytree(found["Dir"], source, copy_function=shutil.copyfile)
    for folder in (source, *source.rglob("*/")):
        folder.chmod(0o755)
    _kit.go_build(source, "./cmd/jaeger", into / "jaeger", {f"{MODULE}/internal/version.latestVersion": f"v{VERSION}"})
    shutil.rmtree(source)


def _command(place: Place) -> list[str]:
    """``strategies`` is what remote sampling answers, as Jaeger's strategies file has it."""
    strategies = {"default_strategy": {"type": "probabilistic", "param": 1.0}}
    (place.work / "strategies.json").write_text(json.dumps(place.options.get("strategies", strategies)))
    config = place.work / "jaeger.yaml"
    config.write_text(CONFIG.replace("${env:STRATEGIES}", str(place.work / "strategies.json")))
    return [str(place.folder / "jaeger"), "--config", str(config)]


def _ready(ports: Mapping[str, int]) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['query']}/api/services", timeout=2) as answer:
            return answer.status == 200 and accepts(ports)
    except OSError:
        return False


PEER = Peer(
    summary="Jaeger",
    version=VERSION,
    kind="compiled",
    ports=("query", "query_grpc", "sampling", "sampling_grpc", "grpc", "http"),
    needs=lambda: _kit.go_needed((1, 25)),
    install=_install,
    command=_command,
    ready=_ready,
)
