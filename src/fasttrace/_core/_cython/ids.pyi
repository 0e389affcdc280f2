from fasttrace._core._python.ids import fork_generation as fork_generation
from fasttrace._core._python.ids import generate_span_id as generate_span_id
from fasttrace._core._python.ids import generate_trace_id as generate_trace_id

__all__ = ["fork_generation", "generate_span_id", "generate_trace_id"]
