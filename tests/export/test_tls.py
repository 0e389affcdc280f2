"""TLS to real servers with a private certificate authority, and proxies of the environment, for every exporter."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from chaos import Chaos, answer
from collector import Collector
from proxy import Proxy

from fasttrace.errors import ExportError
from fasttrace.export import OTLPExporter, OTLPGrpcExporter, ZipkinExporter, connection, retry

MakeBatch = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_certificates_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.01)


class Authority:
    """A certificate authority, the certificate of a client, and servers that ask for one."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.server = self.ca.issue_cert("127.0.0.1", "collector.test")
        self.ca_file, self.wrong_ca_file = str(folder / "ca.pem"), str(folder / "wrong.pem")
        self.chain_file, self.key_file = str(folder / "client.pem"), str(folder / "client.key")
        self.both_file = str(folder / "both.pem")
        self.ca.cert_pem.write_to_path(self.ca_file)
        trustme.CA().cert_pem.write_to_path(self.wrong_ca_file)
        client = self.ca.issue_cert("client.test")
        client.cert_chain_pems[0].write_to_path(self.chain_file)
        client.private_key_pem.write_to_path(self.key_file)
        client.private_key_and_cert_chain_pem.write_to_path(self.both_file)

    def protect(self, chaos: Chaos, *, mutual: bool = False) -> str:
        """The endpoint of an HTTP server from now on with TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.configure_cert(context)
        if mutual:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        # With the handshake in the handler's thread: a client that gives up does not end the server.
        chaos.server.socket = context.wrap_socket(chaos.server.socket, server_side=True, do_handshake_on_connect=False)
        return chaos.endpoint.replace("http:", "https:")

    def collector(self, *, mutual: bool = False) -> Collector:
        pair = (self.server.private_key_pem.bytes(), self.server.cert_chain_pems[0].bytes())
        ca = self.ca.cert_pem.bytes() if mutual else None
        return Collector(credentials=grpc.ssl_server_credentials([pair], ca, mutual))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


class Peer:
    """A server with TLS, the exporter for it, and how many requests came."""

    def __init__(self, kind: type, endpoint: str, requests: list[Any]) -> None:
        self.kind = kind
        self.endpoint = endpoint
        self.requests = requests


@pytest.fixture(params=["http", "grpc"])
def make_peer(request: pytest.FixtureRequest, chaos: Chaos, authority: Authority) -> Iterator[Callable[..., Peer]]:
    started: list[Collector] = []

    def make(*, mutual: bool = False) -> Peer:
        if request.param == "http":
            return Peer(OTLPExporter, authority.protect(chaos, mutual=mutual), chaos.requests)
        started.append(authority.collector(mutual=mutual))
        return Peer(OTLPGrpcExporter, started[0].endpoint, started[0].requests)

    yield make
    for collector in started:
        collector.stop()


def send(peer: Peer, batch: Any, **options: Any) -> Any:
    exporter = peer.kind(peer.endpoint, **{"timeout": 20, **options})
    try:
        return exporter.export(batch)
    finally:
        exporter.shutdown(1)


def test_a_private_authority_by_argument_and_by_variable(
    make_peer: Any, make_batch: MakeBatch, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = make_peer()
    assert not send(peer, make_batch(3), certificate=authority.ca_file)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.ca_file)
    assert not send(peer, make_batch(3))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", authority.wrong_ca_file)
    with pytest.raises(ExportError):
        send(peer, make_batch(3), timeout=0.5)
    assert len(peer.requests) == 2


@pytest.mark.parametrize("wrong", [True, False])
def test_a_stranger_is_refused_with_an_error_that_says_what_to_set(
    make_peer: Any, make_batch: MakeBatch, authority: Authority, wrong: bool
) -> None:
    peer = make_peer()
    batch = make_batch(3)
    batch.attempt.urgent = lambda: True  # one try
    with pytest.raises(ExportError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        send(peer, batch, **({"certificate": authority.wrong_ca_file} if wrong else {}))
    assert "set OTEL_EXPORTER_OTLP_CERTIFICATE to a PEM file" in str(caught.value)
    assert (caught.value.retryable, caught.value.ambiguous) == (True, False)
    assert peer.requests == []


def test_a_client_shows_its_certificate(
    make_peer: Any, make_batch: MakeBatch, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = make_peer(mutual=True)
    trusted = {"certificate": authority.ca_file}
    with pytest.raises(ExportError):
        send(peer, make_batch(3), timeout=0.5, **trusted)
    assert peer.requests == []
    assert not send(
        peer, make_batch(3), **trusted, client_certificate=authority.chain_file, client_key=authority.key_file
    )
    assert not send(peer, make_batch(3), **trusted, client_certificate=authority.both_file)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", authority.chain_file)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", authority.key_file)
    assert not send(peer, make_batch(3), **trusted)
    assert len(peer.requests) == 3


def test_later_requests_go_on_the_first_ones_connection(
    chaos: Chaos, make_batch: MakeBatch, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[Any] = []
    original = connection.Connection.post
    monkeypatch.setattr(
        connection.Connection, "post", lambda *arguments: posted.append(original(*arguments)) or posted[-1]
    )
    chaos.script = [answer(200), answer(200), answer(200, b"\n\x02\x08\x02"), answer(200)]
    exporter = OTLPExporter(authority.protect(chaos), timeout=20, certificate=authority.ca_file)
    large = make_batch(5000, "operation" * 100)
    assert [exporter.export(batch) for batch in (large, large, make_batch(3), make_batch(1))] == [0, 0, 2, 0]
    exporter.shutdown(1)
    assert len(posted) == 3
    assert len({body for _, _, body in chaos.requests[:2]}) == 1
    assert len(chaos.requests) == 4


def test_a_certificate_for_another_name_is_refused(make_peer: Any, make_batch: MakeBatch, authority: Authority) -> None:
    peer = make_peer()
    peer.endpoint = peer.endpoint.replace("127.0.0.1", "localhost")
    with pytest.raises(ExportError):
        send(peer, make_batch(3), timeout=0.5, certificate=authority.ca_file)
    assert peer.requests == []


def test_plain_text_to_a_server_with_tls_is_told(make_peer: Any, make_batch: MakeBatch) -> None:
    peer = make_peer()
    peer.endpoint = peer.endpoint.replace("https:", "http:")
    with pytest.raises(ExportError, match="http:"):
        send(peer, make_batch(3), timeout=0.5)
    assert peer.requests == []


def test_tls_through_a_proxy_of_the_environment(
    make_peer: Any, make_batch: MakeBatch, authority: Authority, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy.url)
    peer = make_peer()
    peer.endpoint = peer.endpoint.replace("127.0.0.1", "collector.test")
    assert not send(peer, make_batch(3), certificate=authority.ca_file)
    port = peer.endpoint.split(":")[2].split("/")[0]
    assert [head.split()[:2] for head in proxy.asked] == [["CONNECT", f"collector.test:{port}"]]
    assert len(peer.requests) == 1


def test_certificates_that_were_changed_are_read_again(
    chaos: Chaos, make_batch: MakeBatch, authority: Authority, tmp_path: Path
) -> None:
    """gRPC makes a new channel after a failure to connect."""
    server = authority.collector()
    changing = tmp_path / "changing.pem"
    changing.write_bytes(Path(authority.wrong_ca_file).read_bytes())
    exporter = OTLPGrpcExporter(server.endpoint, timeout=0.5, certificate=str(changing))
    with pytest.raises(ExportError):
        exporter.export(make_batch(1))
    changing.write_bytes(Path(authority.ca_file).read_bytes())
    exporter.timeout = 20
    assert not exporter.export(make_batch(1))
    exporter.shutdown(1)
    server.stop()


def test_zipkin_trusts_whom_the_machine_trusts(
    chaos: Chaos, make_batch: MakeBatch, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = authority.protect(chaos)
    with pytest.raises(ExportError, match="set SSL_CERT_FILE to a PEM file"):
        ZipkinExporter(endpoint, timeout=0.5).export(make_batch(1))
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
    ZipkinExporter(endpoint, timeout=20).export(make_batch(1))
    assert len(chaos.requests) == 1
