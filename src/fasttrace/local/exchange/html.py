"""The viewer and the traces in one file, for a bug report or a colleague: opens from disk, asks nobody for anything.

What ``fasttrace serve`` would answer about these traces stands in the file, packed, by the path that the page asks for.
The script and the style are allowed by their hashes and nothing else is: no request leaves the page, and no text of a
trace is ever markup.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from gzip import compress
from hashlib import sha256
from tempfile import TemporaryDirectory
from typing import Any

from fasttrace._core.types import SpanData
from fasttrace.errors import FasttraceError
from fasttrace.export import SpoolExporter
from fasttrace.local import api, plain, trace_data
from fasttrace.local.exchange.bundle import bundle, text
from fasttrace.local.exchange.encode import encode_request
from fasttrace.local.index import Index
from fasttrace.local.model import Trace
from fasttrace.local.neighbours import neighbours

NAME = "html"
TITLE = "a page in one file (written only)"
SUFFIXES = (".html", ".htm")

# Beyond it browsers take long to open the file.
MAX_SPANS = 500_000
# So many spans' contents are unpacked at a time.
SPANS_IN_BLOCK = 1_000
_SPANS_AT_ONCE = 512
_STYLE = re.compile(r"<link rel=\"stylesheet\" href=\"(?!vendor/)([^\"]+)\">")

_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'"
)
_HEAD = """\
<!doctype html>
<html lang="en" data-spans="{spans}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>fasttrace</title>
<link rel="icon" href="data:image/svg+xml;base64,{icon}">
<style>"""
_BODY = """\
</style>
</head>
<body>
<div id="app"></div>
<noscript>This page needs JavaScript, all of which is in this file.</noscript>
"""


def write(traces: Iterable[list[SpanData]]) -> Iterator[bytes]:
    """The page. Raises FasttraceError for more spans than a browser can hold."""
    with TemporaryDirectory(prefix="fasttrace-") as directory:
        _keep(traces, directory)
        with Index(directory) as index:
            index.refresh()
            yield from _page(index)


def _keep(traces: Iterable[list[SpanData]], directory: str) -> None:
    exporter = SpoolExporter(directory, max_bytes=1 << 40)
    count = 0
    for spans in traces:
        count += len(spans)
        if count > MAX_SPANS:
            raise FasttraceError(
                f"more than {MAX_SPANS:,} spans are too many for a page: narrow the search, or use --limit"
            )
        for at in range(0, len(spans), _SPANS_AT_ONCE):
            exporter.append(encode_request(spans[at : at + _SPANS_AT_ONCE]))
    exporter.shutdown(1)


def _page(index: Index) -> Iterator[bytes]:
    script, modules = bundle("js/main.js", {"js/api.js": "js/in_file.js"})
    style = "\n".join(text(path) for path in _STYLE.findall(text("index.html")))
    icon = b64encode(text("icon.svg").encode()).decode()
    policy = _POLICY.format(script=_hash(script), style=_hash(style))
    yield _HEAD.format(spans=SPANS_IN_BLOCK, policy=policy, icon=icon).encode()
    yield style.encode()
    yield _BODY.encode()
    listed = api.traces(index, limit=MAX_SPANS)
    for row in listed["traces"]:
        yield from _trace(index, row["trace_id"])
    yield _block("traces", listed)
    yield _block("map", api.service_map(index))
    yield _block("routes", api.routes(index))
    yield f'<script type="module">{script}</script>\n'.encode()
    yield f'<script type="text/plain" data-licences>\n{_licences(modules)}</script>\n</body>\n</html>\n'.encode()


def _licences(modules: list[str]) -> str:
    """The notices of what others have written."""
    vendored = [one for one in json.loads(text("vendor/manifest.json"))["files"] if f"vendor/{one['file']}" in modules]
    whose = {one["licence_file"]: f"{one['package']} {one['version']} ({one['licence']})" for one in vendored}
    return "\n".join(f"{name}\n\n{text(f'vendor/{path}')}" for path, name in whose.items())


def _trace(index: Index, trace_id: str) -> Iterator[bytes]:
    trace = index.trace(trace_id)
    path = f"trace/{trace_id}"
    yield _block(path, trace_data.columns(trace))
    yield _block(f"{path}/diagnosis", {"diagnosis": trace_data.diagnosis(trace, neighbours(index, trace))})
    yield _block(f"{path}/events", {"events": trace_data.events(trace)})
    for number, found in enumerate(_contents(trace)):
        yield _block(f"{path}/spans/{number}", found)


def _contents(trace: Trace) -> Iterator[dict[str, Any]]:
    numbers, resources = trace_data.resources(trace)
    for at in range(0, len(trace.nodes), SPANS_IN_BLOCK):
        used = numbers[at : at + SPANS_IN_BLOCK]
        yield {
            "resources": {number: resources[number] for number in used},
            "spans": [
                {**trace_data.contents(node, trace.start_ns), "resource": number}
                for node, number in zip(trace.nodes[at : at + SPANS_IN_BLOCK], used, strict=True)
            ],
        }


def _block(path: str, found: Any) -> bytes:
    """Packed JSON in letters that no parser of HTML can take for anything else."""
    packed = b64encode(compress(plain.dump(found), 6, mtime=0))
    return f'<script type="application/octet-stream" data-path="{path}">'.encode() + packed + b"</script>\n"


def _hash(inline: str) -> str:
    return f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'"
