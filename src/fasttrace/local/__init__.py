"""What a developer sees of their traces on one machine: the spool's reader, the trace model, the waterfall."""

from __future__ import annotations

from fasttrace.local.model import Node, Trace

__all__ = ["Node", "Trace"]
