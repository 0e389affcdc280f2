"""Where spans go. An exporter is any object with ``export(batch)``, ``flush(timeout)`` and ``shutdown(timeout)``."""

from __future__ import annotations

from fasttrace.export import otlp_base
from fasttrace.export.base import Batch
from fasttrace.export.console import ConsoleExporter
from fasttrace.export.jsonlines import JSONLinesExporter
from fasttrace.export.memory import MemoryExporter
from fasttrace.export.null import NullExporter
from fasttrace.export.otlp_grpc import OTLPGrpcExporter
from fasttrace.export.otlp_http import OTLPExporter
from fasttrace.export.spool import SpoolExporter
from fasttrace.export.zipkin import ZipkinExporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.config import Settings
    from fasttrace.export.base import Exporter
    from fasttrace.export.undelivered import Undelivered

__all__ = [
    "Batch",
    "ConsoleExporter",
    "JSONLinesExporter",
    "MemoryExporter",
    "NullExporter",
    "OTLPExporter",
    "OTLPGrpcExporter",
    "SpoolExporter",
    "ZipkinExporter",
    "create",
]


def create(chosen: Any, settings: Settings) -> Exporter:
    """The exporter of a name in ``fasttrace.config.EXPORTERS``, made and checked from the settings; or an object."""
    if not isinstance(chosen, str):
        exporter: Exporter = chosen
        return exporter
    name = chosen
    if name == "otlp-grpc" or (name == "otlp" and otlp_base.protocol() == "grpc"):
        return OTLPGrpcExporter()
    if name == "otlp":
        return OTLPExporter()
    if name == "spool":
        spool = SpoolExporter(settings.spool_dir, max_bytes=settings.spool_max_bytes, max_age=settings.spool_max_age)
        spool.check()
        return spool
    if name == "jsonlines":
        return JSONLinesExporter(settings.jsonlines_path)
    if name == "zipkin":
        return ZipkinExporter()
    if name == "console":
        return ConsoleExporter()
    if name == "memory":
        return MemoryExporter()
    return NullExporter()


def create_undelivered(exporter: Exporter, settings: Settings) -> Undelivered | None:
    """Where this exporter's spans wait while its receiver is away, if it has one and the settings do not say none."""
    destination = getattr(exporter, "destination", None)
    root = settings.undelivered_dir
    if destination is None or (root is not None and root.lower() == "none"):
        return None
    import os

    from fasttrace.export import undelivered

    root = root or undelivered.default_root(os.environ)
    return undelivered.Undelivered(undelivered.folder(root, str(destination)), settings.undelivered_max_bytes)
