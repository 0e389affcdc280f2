from fasttrace._core._python.span import Recorder as Recorder
from fasttrace._core._python.span import Span as Span
from fasttrace._core._python.span import Tracer as Tracer
from fasttrace._core._python.span import current_span as current_span

__all__ = ["Recorder", "Span", "Tracer", "current_span"]
