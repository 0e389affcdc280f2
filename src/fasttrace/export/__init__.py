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
    from fasttrace.config import Settings
    from fasttrace.export.base import Exporter

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


def create(name: str, settings: Settings) -> Exporter:
    """The exporter of a name in ``fasttrace.config.EXPORTERS``, made and checked from the settings."""
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
