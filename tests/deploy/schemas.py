"""Kubernetes' schemas of the kinds that deploy/ uses, one file for each version: ``kubernetes-1.37.json``.

Run as a program it makes them anew from the package kubernetes-validate, which has all kinds, all versions and 100 MB.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
KINDS = (
    "DaemonSet apps/v1",
    "Deployment apps/v1",
    "StatefulSet apps/v1",
    "Namespace v1",
    "NetworkPolicy networking.k8s.io/v1",
    "PodDisruptionBudget policy/v1",
    "Service v1",
    "ServiceAccount v1",
)


@cache
def validator(version: str, kind: str, api_version: str) -> Any:
    """Of a kind; KeyError for one that is not among them."""
    import jsonschema

    schemas = json.loads((FOLDER / f"kubernetes-{version}.json").read_text())
    root = schemas["kinds"][f"{kind} {api_version}"]
    return jsonschema.Draft202012Validator({**root, "definitions": schemas["definitions"]})


def validate(resource: dict[str, Any], version: str) -> None:
    """Raise jsonschema.ValidationError for a field that is wrong, missing or unknown."""
    validator(version, resource["kind"], resource["apiVersion"]).validate(resource)


# --- making them


def main(version: str) -> None:
    """Keep what the kinds lead to, without what is written for people."""
    import kubernetes_validate

    source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    known = json.loads((source / "_definitions.json").read_text())["$defs"]
    kinds = {}
    for kind in KINDS:
        name, api_version = kind.split()
        group = api_version.replace("/", "-") if "/" in api_version else api_version
        group = f"{group.partition('.')[0]}-{group.rpartition('-')[2]}" if "." in group else group
        kinds[kind] = _pruned(json.loads((source / f"{name.lower()}-{group}.json").read_text()))
    definitions: dict[str, Any] = {}
    wanted = _named(kinds)
    while wanted:
        name = wanted.pop()
        definitions[name] = _pruned(known[name])
        wanted |= _named(definitions[name]) - set(definitions)
    made = {
        "$comment": f"Kubernetes {version}, Apache-2.0; made by {Path(__file__).name} from "
        f"kubernetes-validate {kubernetes_validate.__version__}",
        "kinds": kinds,
        "definitions": dict(sorted(definitions.items())),
    }
    (FOLDER / f"kubernetes-{version}.json").write_text(json.dumps(made, separators=(",", ":")) + "\n")


def _pruned(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_pruned(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if (key == "description" and isinstance(value, str)) or key.startswith("x-kubernetes") or key == "$schema":
            continue
        kept[key] = (
            f"#/definitions/{value.rpartition('/')[2]}" if key == "$ref" and isinstance(value, str) else _pruned(value)
        )
    return kept


def _named(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(_named, schema))
    if not isinstance(schema, dict):
        return set()
    reference = schema.get("$ref")
    found = {reference.rpartition("/")[2]} if isinstance(reference, str) else set()
    return found.union(*map(_named, schema.values()))


if __name__ == "__main__":
    main(sys.argv[1])
