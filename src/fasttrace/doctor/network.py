"""Whether a receiver is there and takes what it gets; what it means when it does not."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

from fasttrace import config
from fasttrace.doctor.report import Report
from fasttrace.errors import ExportError
from fasttrace.export import OTLPGrpcExporter

# RFC 9113, section 3.4: the client's preface, and its empty SETTINGS frame.
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS = 4
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

_STATUSES = {
    400: (
        "error",
        "it does not take an empty request: is it an OTLP receiver, and http or https as it expects?",
    ),
    401: ("error", "credentials are missing or wrong: set OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token>"),
    403: ("error", "these credentials are not allowed to write: see their rights, and a proxy or firewall on the way"),
    404: ("error", "nothing takes traces at this path"),
    405: ("error", "nothing takes traces at this path"),
    415: ("error", "it does not take this format: is it an OTLP/HTTP receiver that takes http/protobuf?"),
    407: ("error", "the proxy wants credentials: http://user:password@proxy:port in http_proxy or https_proxy"),
    429: ("warning", "it is there, but overloaded; spans wait and are sent again"),
    503: ("warning", "it is there, but overloaded or starting; spans wait and are sent again"),
}


def examine_connection(report: Report, host: str, port: int, timeout: float) -> bool:
    """Find the host and connect; True when somebody listens."""
    name = f"{host}:{port}"
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        report.error(
            "connection",
            f"the name {host!r} is not known ({getattr(error, 'strerror', None) or error})",
            "correct the host in the endpoint; inside a cluster, a service's full name is service.namespace.svc",
        )
        return False
    failure: OSError | None = None
    for family, kind, protocol, _, where in addresses:
        try:
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(timeout)
                connection.connect(where)
        except OSError as error:
            failure = failure or error
            continue
        report.ok("connection", f"{name} accepts connections")
        return True
    if isinstance(failure, TimeoutError):
        text, advice = f"no answer within {timeout:g} s", "a firewall that drops packets, or a host that is down"
    elif isinstance(failure, ConnectionRefusedError):
        text, advice = "refused: nothing listens there", "start the collector, or correct host and port"
        if host in _LOOPBACK:
            advice += "; in a container, localhost is the container itself"
    else:
        text = (failure.strerror if failure else None) or str(failure)
        advice = "see the network between this machine and the receiver"
    report.error("connection", f"{name}: {text}", advice)
    return False


def examine_answer(report: Report, exporter: Any, direct: tuple[str, int] | None, timeout: float) -> None:
    """Send a request without spans, with the exporter's own sender and credentials, if it can.

    ``direct``: host and port, unless there is a proxy between.
    """
    probe = getattr(exporter, "probe", None)
    if probe is None:
        report.ok("receiver", "not asked further: this exporter has no probe")
        return
    try:
        probe(timeout)
    except ExportError as error:
        status, advice = _explain(error, exporter, direct, timeout)
        (report.error if status == "error" else report.warning)("receiver", str(error), advice, status=error.status)
    except Exception as error:
        report.error("receiver", f"{type(error).__name__}: {error}", "this looks like a bug: please report it")
    else:
        report.ok("receiver", "accepts a request without spans")


def _explain(error: ExportError, exporter: Any, direct: tuple[str, int] | None, timeout: float) -> tuple[str, str]:
    """How bad it is, and what to do."""
    endpoint: str = exporter.endpoint
    if error.status:
        if 300 <= error.status < 400:
            return "error", "redirects are not followed: use the address that it points to"
        status, advice = _STATUSES.get(
            error.status,
            ("error", "the receiver, or a gateway before it, has a problem of its own: see its log"),
        )
        if error.status in (404, 405) and "/v1/traces" not in endpoint and "/api/v2/spans" not in endpoint:
            advice += "; OTLP/HTTP's is /v1/traces, which OTEL_EXPORTER_OTLP_ENDPOINT adds, but not the one for TRACES"
        elif error.status in (404, 405):
            advice += ": is this the receiver's port, 4318 for OTLP/HTTP?"
        return status, advice
    cause = _innermost(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "error", _explain_certificate(cause)
    if isinstance(cause, ssl.SSLError):
        if "WRONG_VERSION_NUMBER" in str(cause) or "RECORD_LAYER" in str(cause):
            return "error", "it does not speak TLS: use http:// in the endpoint"
        return "error", "the TLS handshake failed: see client certificate, key and the versions that the receiver takes"
    if isinstance(exporter, OTLPGrpcExporter):
        return "error", "the status says why; UNIMPLEMENTED and broken connections: is this the OTLP/gRPC port, 4317?"
    if "web page" in str(error):
        return "error", "this is no OTLP receiver: correct the endpoint's host, port and path (4318, /v1/traces)"
    if direct is not None and endpoint.startswith("http://") and _speaks_http2(direct, timeout):
        other = "FASTTRACE_EXPORTER=otlp-grpc, or " if "otlp-grpc" in config.EXPORTERS else ""
        return "error", f"it speaks gRPC, not HTTP/1.1: use {other}the OTLP/HTTP port, 4318"
    if isinstance(cause, TimeoutError):
        return "error", f"it accepts connections, but does not answer within {timeout:g} s: is it overloaded, or stuck?"
    return "error", "the connection broke: is this an OTLP/HTTP receiver, and is it http or https?"


def _innermost(error: BaseException) -> BaseException:
    """The exception that began it: urllib3 wraps sockets' errors, some of them as arguments only."""
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        inner = [error.__cause__, getattr(error, "reason", None), *error.args, error.__context__]
        error = next((item for item in inner if isinstance(item, BaseException) and item not in seen), error)
    return seen[-1]


def _explain_certificate(error: ssl.SSLCertVerificationError) -> str:
    message = error.verify_message or str(error)
    if "expired" in message:
        return f"{message}: the receiver's certificate must be renewed"
    if "mismatch" in message or "match" in message:
        return f"{message}: use the name that the certificate was issued for"
    return f"{message}: name the authority's certificates, OTEL_EXPORTER_OTLP_CERTIFICATE=/path/to/ca.pem"


def _speaks_http2(where: tuple[str, int], timeout: float) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(where, timeout) as connection:
        connection.sendall(_HTTP2_PREFACE)
        head = b""
        while len(head) < 9:
            more = connection.recv(9 - len(head))
            if not more:
                return False
            head += more
        return head[3] == _SETTINGS and head[5:9] == bytes(4)
    return False
