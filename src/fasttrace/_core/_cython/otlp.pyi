from fasttrace._core._python.otlp import assemble as assemble
from fasttrace._core._python.otlp import count_records as count_records
from fasttrace._core._python.otlp import encode_attributes as encode_attributes
from fasttrace._core._python.otlp import encode_scope as encode_scope

__all__ = ["assemble", "count_records", "encode_attributes", "encode_scope"]
