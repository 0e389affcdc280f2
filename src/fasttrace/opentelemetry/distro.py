"""The distribution that ``opentelemetry-instrument`` loads. Imported by nothing else: it needs its package."""

from __future__ import annotations

import os

from opentelemetry.instrumentation.distro import BaseDistro

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class FasttraceDistro(BaseDistro):  # type: ignore[misc]
    """Has our configurator chosen where several are installed; loads instrumentations as any distribution does."""

    def _configure(self, **kwargs: Any) -> None:
        os.environ.setdefault("OTEL_PYTHON_CONFIGURATOR", "fasttrace")
