from fasttrace._core._python.headers import decode_binary as decode_binary
from fasttrace._core._python.headers import encode_binary as encode_binary
from fasttrace._core._python.headers import extract_w3c as extract_w3c
from fasttrace._core._python.headers import format_b3 as format_b3
from fasttrace._core._python.headers import format_traceparent as format_traceparent
from fasttrace._core._python.headers import inject_w3c as inject_w3c
from fasttrace._core._python.headers import parse_b3 as parse_b3
from fasttrace._core._python.headers import parse_traceparent as parse_traceparent

__all__ = [
    "decode_binary",
    "encode_binary",
    "extract_w3c",
    "format_b3",
    "format_traceparent",
    "inject_w3c",
    "parse_b3",
    "parse_traceparent",
]
