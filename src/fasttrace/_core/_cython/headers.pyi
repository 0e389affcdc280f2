from fasttrace._core._python.headers import decode_binary as decode_binary
from fasttrace._core._python.headers import encode_binary as encode_binary
from fasttrace._core._python.headers import format_traceparent as format_traceparent
from fasttrace._core._python.headers import parse_traceparent as parse_traceparent
