"""What the Collector's file exporter writes: OTLP/JSON, one request a line, as plain values."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any


def value_of(any_value: dict[str, Any]) -> Any:
    """An AnyValue of the JSON encoding as the Python value that it stands for."""
    if not any_value:
        return None
    ((kind, value),) = any_value.items()
    match kind:
        case "intValue":
            return int(value)
        case "doubleValue":
            return float(value)
        case "bytesValue":
            return base64.b64decode(value)
        case "arrayValue":
            return [value_of(item) for item in value.get("values", [])]
        case "kvlistValue":
            return attributes_of(value.get("values", []))
    return value


def attributes_of(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    keys = [pair["key"] for pair in pairs]
    assert len(keys) == len(set(keys)), f"a key is there twice: {keys}"
    return {pair["key"]: value_of(pair.get("value", {})) for pair in pairs}


def spans_of(path: Path) -> list[dict[str, Any]]:
    """The spans of a file as they stand there, with ``resource``, ``scope`` and the two ``schemaUrl`` that they are below."""
    found = []
    text = path.read_text() if path.exists() else ""
    for line in text.split("\n")[:-1]:  # what has no end yet is being written
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                around = {
                    "resource": attributes_of(resource["resource"].get("attributes", [])),
                    "scope": scope.get("scope", {}),
                    "schemas": (resource.get("schemaUrl", ""), scope.get("schemaUrl", "")),
                }
                found += [{**span, **around} for span in scope["spans"]]
    return found


def wait_for(path: Path, count: int) -> list[dict[str, Any]]:
    """The spans of a file once there are so many; the assertion fails if there never are, or if there are more."""
    deadline = time.monotonic() + 60
    while len(found := spans_of(path)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(found) == count
    return found
