"""Where spans go: addresses as they are given, exporters and resolvers as the Collector names them."""

from __future__ import annotations

import re

from fasttrace.errors import ConfigurationError
from fasttrace.sampling.collector.text import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.sampling.collector.hosting import Hosting

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.%]+\]):(\d{1,5})")
# tail_sampling hands out one trace at a time, and a receiver takes 4 MiB by gRPC unless told otherwise.
_BATCH = """\
      batch:
        sizer: bytes
        min_size: 1000000
        max_size: 3000000
        flush_timeout: 1s
"""
_ON_DISK = """\
    # What waits is on disk and has a bound, so that it need not be given up.
    retry_on_failure:
      max_elapsed_time: 0s
"""


def host(text: str, example: str) -> str:
    """``host:port``, checked; ``example`` ends the sentence "use ..."."""
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match[1]) < 65536:
        raise ConfigurationError(f"{text!r}: use {example}")
    return text


def resolver(samplers: str) -> str:
    """The load balancer's resolver for ``host:port,host:port`` or ``dns:name[:port]``."""
    name = _all_addresses(samplers.strip(), "dns:NAME or dns:NAME:PORT for the samplers")
    if name is not None:
        name, _, port = name.rpartition(":")
        return f"      dns:\n        hostname: {quoted(name)}\n        port: {quoted(port)}\n"
    hosts = [part.strip() for part in samplers.split(",") if part.strip()]
    if not hosts:
        raise ConfigurationError(f"{samplers!r}: use host:port of at least one sampler, or dns:NAME")
    lines = [f"          - {quoted(host(part, 'host:port for each sampler, or dns:NAME'))}" for part in hosts]
    return "\n".join(["      static:", "        hostnames:", *lines, ""])


def queue(hosting: Hosting) -> str:
    """The bounds of a sending queue, and whether it is on disk."""
    on_disk = hosting.data_dir is not None
    size = hosting.queue_bytes or (1_000_000_000 if on_disk else 100_000_000)
    storage = "      storage: file_storage\n" if on_disk else ""
    return f"    sending_queue:\n      enabled: true\n{storage}      sizer: bytes\n      queue_size: {size}\n"


def exporters(endpoints: str, hosting: Hosting) -> tuple[list[str], str]:
    """Names and settings of the exporters for one endpoint, or for several with commas between."""
    given = [part.strip() for part in endpoints.split(",")]
    waiting = ("" if hosting.data_dir is None else _ON_DISK) + queue(hosting) + _BATCH
    names, texts = [], []
    for number, endpoint in enumerate(given, 1):
        kind, comment, settings = _exporter(endpoint)
        name = kind if len(given) == 1 else f"{kind}/{number}"
        names.append(name)
        texts.append(f"{comment}  {name}:\n{settings}{waiting}")
    return names, "".join(texts)


def _exporter(endpoint: str) -> tuple[str, str, str]:
    from urllib.parse import urlsplit

    url = urlsplit(endpoint)
    if url.scheme in ("http", "https") and url.hostname:
        if url.username or url.password or url.query:
            raise ConfigurationError(
                f"{url.scheme}://{url.hostname}: leave user name, password and query out, and add headers to the output"
            )
        return "otlp_http", "  # Called otlphttp before.\n", f"    endpoint: {quoted(endpoint)}\n"
    name = _all_addresses(endpoint, "dns:NAME or dns:NAME:PORT for the endpoint")
    if name is not None:
        where = f"    endpoint: {quoted('dns:///' + name)}\n    balancer_name: round_robin\n"
    else:
        example = "host:port, dns:NAME, or an http:// or https:// URL for the endpoint"
        where = f"    endpoint: {quoted(host(endpoint, example))}\n"
    return "otlp_grpc", "  # Called otlp before.\n", f"{where}    tls:\n      insecure: true\n"


def _all_addresses(text: str, example: str) -> str | None:
    """``name:port`` of ``dns:name[:port]``, which means all addresses of the name; None for anything else."""
    kind, _, rest = text.partition(":")
    # "dns:4317" is port 4317 of a host that is called dns.
    if kind != "dns" or rest.isdecimal():
        return None
    name, _, port = rest.partition(":")
    return host(f"{name}:{port or 4317}", example)
