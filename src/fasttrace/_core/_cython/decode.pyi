from fasttrace._core._python.decode import decode_request as decode_request
from fasttrace._core._python.decode import decode_span as decode_span

__all__ = ["decode_request", "decode_span"]
