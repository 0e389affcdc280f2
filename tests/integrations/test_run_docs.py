"""docs/integrations/infrastructure.md names what is read."""

from __future__ import annotations

from pathlib import Path

from fasttrace.resource.kubernetes import _VARIABLES

DOCS = Path(__file__).parents[2] / "docs" / "integrations"


def test_every_variable_that_is_believed_anywhere_is_named() -> None:
    text = (DOCS / "infrastructure.md").read_text()
    for names in _VARIABLES.values():
        assert names[0] in text
