"""The files below deploy/, read once."""

from __future__ import annotations

import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
STORES = ("jaeger", "tempo")


@cache
def documents(path: Path) -> tuple[dict[str, Any], ...]:
    return tuple(yaml.safe_load_all(path.read_text()))


def resources(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """What a kustomization brings, with the file of each."""
    found = []
    for entry in documents(folder / "kustomization.yaml")[0]["resources"]:
        path = (folder / entry).resolve()
        found += resources(path) if path.is_dir() else [(path, document) for document in documents(path)]
    return found


def config_maps(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """The files of each ConfigMap that a kustomization makes, by namespace and name."""
    kustomization = documents(folder / "kustomization.yaml")[0]
    found = {}
    for entry in kustomization["resources"]:
        if (folder / entry).is_dir():
            found.update(config_maps(folder / entry))
    for made in kustomization["configMapGenerator"]:
        found[made["namespace"], made["name"]] = [folder / file for file in made["files"]]
    return found


def program(name: str, variable: str, command: str) -> str | None:
    """A program of others: named in a variable, on the PATH, or where tools/peers keeps what it installs."""
    peers = Path(os.environ.get("FASTTRACE_PEERS") or Path.home() / ".cache" / "fasttrace" / "peers")
    named = os.environ.get(variable) or shutil.which(command)
    return named or next((str(path) for path in sorted(peers.glob(f"{name}-*/{name}")) if path.is_file()), None)


COLLECTOR = program("otelcol", "OTELCOL", "otelcol-contrib")
JAEGER = program("jaeger", "JAEGER", "jaeger")


def seconds(text: str) -> int:
    """Of ``30s`` or ``1m``."""
    number, unit = re.fullmatch(r"(\d+)([sm])", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit == "m" else 1)
