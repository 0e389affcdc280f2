"""``fasttrace serve``: the page, its JSON API, live updates, and a receiver of OTLP/HTTP."""

from __future__ import annotations
