"""doctor, against real receivers, and what goes wrong with them."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fasttrace
from fasttrace import doctor, export
from fasttrace._core import Recorder, Ring
from fasttrace.cli import main
from fasttrace.export import OTLPExporter, SpoolExporter
from fasttrace.export.base import RecordBatch
from fasttrace.export.undelivered import Undelivered

EXPORT_TESTS = Path(__file__).parents[1] / "export"
sys.path.insert(0, str(EXPORT_TESTS))

from chaos import Chaos, answer, hang, reset  # noqa: E402

ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty project, and no setting or proxy of the machine."""
    for name in list(os.environ):
        setting = name.startswith(("OTEL_", "FASTTRACE_")) and name != "FASTTRACE_IMPL"
        if setting or name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name)
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").touch()
    monkeypatch.chdir(project)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def chaos() -> Iterator[Chaos]:
    server = Chaos()
    yield server
    server.stop()


def examined(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON."""
    code = main(["doctor", "--json", *argv])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (0 if report["ok"] else 1)
    return code, report


def finding(report: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    (found,) = [
        item
        for part in report["sections"]
        if part["name"] == section
        for item in part["findings"]
        if item["name"] == name
    ]
    return dict(found)


def troubles(report: dict[str, Any]) -> list[str]:
    return [item["name"] for part in report["sections"] for item in part["findings"] if item["status"] == "error"]


def tree(path: Path) -> list[tuple[str, int, int]]:
    """Everything below a folder that a write would change, but for the times of folders."""
    return sorted((str(item), item.stat().st_size, item.stat().st_mode) for item in path.rglob("*") if item.is_file())


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- the whole


def test_a_real_receiver_is_well_gets_no_span_and_nothing_stays_on_disk(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, receiver: Any
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.base)
    before = tree(tmp_path), os.listdir(tmp_path)
    code, report = examined(capsys, "--timeout", "60")
    assert (tree(tmp_path), os.listdir(tmp_path)) == before
    assert receiver.span_ids(0) == []
    assert (code, report["errors"]) == (0, 0)
    assert finding(report, "exporter", "receiver")["text"] == "accepts a request without spans"
    exporter = finding(report, "settings", "exporter")
    assert exporter["data"] == {"value": "otlp", "source": "OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert f"{receiver.endpoint} (OTEL_EXPORTER_OTLP_ENDPOINT)" in str(report)


def test_the_json_has_one_schema(capsys: pytest.CaptureFixture[str]) -> None:
    _, report = examined(capsys, "--offline")
    assert list(report) == ["schema", "version", "ok", "errors", "warnings", "sections"]
    assert (report["schema"], report["version"]) == (1, fasttrace.__version__)
    names = [section["name"] for section in report["sections"]]
    assert names == ["installation", "settings", "exporter", "spool", "undelivered"]
    for section in report["sections"]:
        assert list(section) == ["name", "findings"]
        for item in section["findings"]:
            assert list(item) == ["name", "status", "text", "advice", "data"]
            assert item["status"] in ("ok", "warning", "error")
    data = finding(report, "installation", "implementation")["data"]
    assert data == {"implementation": fasttrace.implementation()[0], "reason": fasttrace.implementation()[1]}
    assert finding(report, "settings", "max_queue_spans")["data"] == {"value": 10_000, "source": "default"}
    assert finding(report, "undelivered", "waiting")["data"] == {"spans": 0}


def test_the_text_is_aligned_with_marks_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTTRACE_EXPORTER", "none")
    monkeypatch.setenv("FASTTRACE_QUEUE", "5")
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    found = [line for line in lines if line.startswith("  ")]
    assert {line[2:9].strip() for line in found} == {"ok", "warning", "error", ""}
    column = next(line for line in found if " version " in line).index(fasttrace.__version__)
    assert all(line[column - 1] == " " and line[column] != " " for line in found)
    assert "errors: 1, warnings: " in lines[-2]


def test_the_pure_core_is_named_with_the_way_to_the_compiled_one() -> None:
    command = [sys.executable, "-m", "fasttrace", "doctor", "--offline", "--json"]
    run = subprocess.run(
        command, env={**os.environ, "FASTTRACE_IMPL": "python"}, capture_output=True, text=True, check=True
    )
    found = finding(json.loads(run.stdout), "installation", "implementation")
    assert (found["status"], found["data"]["implementation"]) == ("warning", "python")
    assert "FASTTRACE_IMPL" in found["advice"]
    assert run.stderr == ""


@pytest.mark.parametrize("command", [[sys.executable, "-m", "fasttrace"], ["fasttrace"]], ids=["module", "script"])
def test_a_core_that_does_not_exist_is_a_finding_and_for_other_commands_a_line(command: list[str]) -> None:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "FASTTRACE_IMPL": "fast", "PATH": path}
    options: Any = {"env": environment, "capture_output": True, "text": True, "check": False}
    run = subprocess.run([*command, "doctor", "--offline", "--json"], **options)
    assert (run.returncode, run.stderr) == (1, "")
    found = finding(json.loads(run.stdout), "installation", "implementation")
    assert (found["status"], found["text"]) == ("error", "FASTTRACE_IMPL='fast': use auto, cython or python")
    assert "correct or unset FASTTRACE_IMPL" in found["advice"]
    run = subprocess.run([*command, "ls"], **options)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "fasttrace: FASTTRACE_IMPL='fast': use auto, cython or python\n"
    run = subprocess.run([*command, "--version"], **options)
    assert (run.returncode, run.stdout) == (0, f"fasttrace {fasttrace.__version__}\n")


def test_the_libraries_that_are_installed_and_not_left_out_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "logging")
    names = finding(examined(capsys, "--offline")[1], "installation", "libraries")["data"]["names"]
    assert {"httpx", "sqlite3"} <= set(names)
    assert "logging" not in names
    monkeypatch.setenv("FASTTRACE_INSTRUMENT", "htpx")
    report = examined(capsys, "--offline")[1]
    assert finding(report, "installation", "libraries")["data"]["names"] == []
    assert troubles(report) == ["FASTTRACE_INSTRUMENT"]


# --- settings


def test_values_are_shown_with_their_units(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTTRACE_MAX_CPU_RATIO", "3%")
    monkeypatch.setenv("FASTTRACE_MAX_BATCH_BYTES", "1000")
    report = examined(capsys, "--offline")[1]
    shown = {
        "max_cpu_ratio": "3% (FASTTRACE_MAX_CPU_RATIO)",
        "max_batch_bytes": "1,000 bytes (FASTTRACE_MAX_BATCH_BYTES)",
        "max_queue_bytes": "16 MiB (default)",
        "spool_max_age": "7 d (default)",
        "exit_timeout": "1 s (default)",
    }
    assert {name: finding(report, "settings", name)["text"] for name in shown} == shown


def test_every_bad_variable_is_told_as_configure_would(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "FASTTRACE_SCHEDUL_DELAY": "2",
        "FASTTRACE_MAX_QUEUE_SPANS": "many",
        "FASTTRACE_EXPORTER": "jaeger",
        "OTEL_BSP_SCHEDULE_DELAY": "soon",
        "OTEL_BSP_MAX_QUEUE_SIZE": "2048",
        "FASTTRACE_EXIT_TIMEOUT": "3s",
    }.items():
        monkeypatch.setenv(name, value)
    _, report = examined(capsys, "--offline")
    assert troubles(report) == ["FASTTRACE_EXPORTER", "FASTTRACE_MAX_QUEUE_SPANS", "FASTTRACE_SCHEDUL_DELAY"]
    for name in troubles(report):
        only = {name: os.environ[name]}
        with pytest.raises(fasttrace.ConfigurationError) as raised:
            fasttrace.config.resolve({}, only)
        assert finding(report, "settings", name)["text"] == str(raised.value)
    assert "did you mean FASTTRACE_SCHEDULE_DELAY?" in str(report)
    warned = finding(report, "settings", "environment")
    assert (warned["status"], "OTEL_BSP_SCHEDULE_DELAY='soon'" in warned["text"]) == ("warning", True)
    sources = {
        name: finding(report, "settings", name)["data"]
        for name in ("max_queue_spans", "exit_timeout", "schedule_delay")
    }
    assert sources == {
        "max_queue_spans": {"value": 2048, "source": "OTEL_BSP_MAX_QUEUE_SIZE"},
        "exit_timeout": {"value": 3.0, "source": "FASTTRACE_EXIT_TIMEOUT"},
        "schedule_delay": {"value": 1.0, "source": "default"},
    }


def test_every_setting_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    _, report = examined(capsys, "--offline")
    for setting in fasttrace.config.SETTINGS:
        assert finding(report, "settings", setting.name)["data"]["source"] == "default"


def test_a_bad_sampler_and_a_disabled_library_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTTRACE_SAMPLER", "sometimes")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    _, report = examined(capsys, "--offline")
    assert troubles(report) == ["sampler"]
    assert "OTEL_SDK_DISABLED" in str(report["sections"])
    assert report["warnings"] >= 1


def test_tail_rules_and_the_control_file_are_told_or_what_is_wrong_with_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "state" / "fasttrace" / "sampling.toml"
    monkeypatch.setenv("FASTTRACE_TAIL", "latency=2000ms,error")
    _, report = examined(capsys, "--offline")
    assert finding(report, "settings", "tail rules")["text"] == "latency=2s,error"
    assert finding(report, "settings", "control file")["text"] == f"{path} asks for nothing"
    assert not path.exists()
    assert main(["sampling", "ratio", "5%"]) == 0
    capsys.readouterr()
    _, report = examined(capsys, "--offline")
    assert "asks for changes" in finding(report, "settings", "control file")["text"]
    path.write_text("ratio = 1.5\n")
    monkeypatch.setenv("FASTTRACE_TAIL", "latensy=2s")
    code, report = examined(capsys, "--offline")
    assert code == 1 and troubles(report) == ["tail", "control file"]
    assert "did you mean latency?" in str(report)
    assert f"{path}: line 1: ratio=1.5" in str(report)


def test_mistyped_and_ignored_otlp_variables_are_warned_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:4318/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADER", "authorization=sesame-sesame")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://elsewhere")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    _, report = examined(capsys, "--offline")
    mistyped = finding(report, "exporter", "OTEL_EXPORTER_OTLP_HEADER")
    assert mistyped["advice"] == "did you mean OTEL_EXPORTER_OTLP_HEADERS?"
    assert (
        "OTEL_EXPORTER_OTLP_PROTOCOL='http/json': use grpc or http/protobuf"
        in finding(report, "exporter", "environment")["text"]
    )
    assert "METRICS" not in str(report)
    assert "sesame" not in str(report)


def test_a_certificate_that_is_not_there_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTTRACE_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem")
    _, report = examined(capsys)
    assert troubles(report) == ["exporter"]
    assert "/nowhere/ca.pem" in finding(report, "exporter", "exporter")["text"]


# --- the receiver


def receiver_of(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    return finding(examined(capsys, *argv)[1], "exporter", "receiver")


@pytest.mark.parametrize(
    ("status", "path", "mark", "advice"),
    [
        (401, "/v1/traces", "error", "credentials are missing or wrong"),
        (403, "/v1/traces", "error", "not allowed"),
        (404, "/", "error", "/v1/traces"),
        (404, "/v1/traces", "error", "4318"),
        (405, "/", "error", "/v1/traces"),
        (400, "/v1/traces", "error", "http or https"),
        (307, "/v1/traces", "error", "redirects are not followed"),
        (500, "/v1/traces", "error", "see its log"),
        (429, "/v1/traces", "warning", "overloaded"),
        (503, "/v1/traces", "warning", "overloaded"),
    ],
)
def test_an_answer_is_explained(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    chaos: Chaos,
    status: int,
    path: str,
    mark: str,
    advice: str,
) -> None:
    chaos.script = [answer(status, b"because", Retry_After="1")]
    monkeypatch.setenv(ENDPOINT, chaos.endpoint.removesuffix("/v1/traces") + path)
    found = receiver_of(capsys)
    assert (found["status"], found["data"]) == (mark, {"status": status})
    assert f"answered {status}: because" in found["text"]
    assert advice in found["advice"]
    assert len(chaos.requests) == 1  # never a second try


def test_a_web_page_is_no_receiver(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos
) -> None:
    chaos.script = [answer(200, b"<!doctype html><title>Jaeger</title>")]
    monkeypatch.setenv(ENDPOINT, chaos.endpoint)
    found = receiver_of(capsys)
    assert (found["status"], "no OTLP receiver" in found["advice"]) == ("error", True)


def test_zipkin_is_asked_in_its_own_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos
) -> None:
    monkeypatch.setenv("FASTTRACE_EXPORTER", "zipkin")
    monkeypatch.setenv("OTEL_EXPORTER_ZIPKIN_ENDPOINT", chaos.endpoint.replace("/v1/traces", "/api/v2/spans"))
    assert receiver_of(capsys)["status"] == "ok"
    assert [(path, body) for path, _, body in chaos.requests] == [("/api/v2/spans", b"[]")]


def test_a_closed_port_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{closed_port()}/v1/traces")
    code, report = examined(capsys)
    found = finding(report, "exporter", "connection")
    assert (code, found["status"]) == (1, "error")
    assert "refused: nothing listens there" in found["text"]
    assert "container" in found["advice"]


def test_an_unknown_name_is_explained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://collector.invalid:4318/v1/traces")
    _, report = examined(capsys)
    assert "'collector.invalid' is not known" in finding(report, "exporter", "connection")["text"]


def test_a_receiver_that_hangs_is_not_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos
) -> None:
    chaos.script = [hang]  # for 60 seconds, beyond which the test would fail
    monkeypatch.setenv(ENDPOINT, chaos.endpoint)
    found = receiver_of(capsys, "--timeout", "0.2")
    assert not chaos.stopping.is_set()
    assert found["status"] == "error"
    assert "does not answer within 0.2 s" in found["advice"]


def test_a_receiver_that_resets_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos
) -> None:
    chaos.script = [reset]
    monkeypatch.setenv(ENDPOINT, chaos.endpoint)
    assert "the connection broke" in receiver_of(capsys)["advice"]


def test_a_grpc_port_is_recognised(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    grpc = pytest.importorskip("grpc")
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{port}/v1/traces")
        found = receiver_of(capsys)
    finally:
        server.stop(None).wait()
    assert found["status"] == "error"
    assert "it speaks gRPC" in found["advice"]
    assert "4318" in found["advice"]


def test_the_network_is_left_alone_when_offline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos
) -> None:
    monkeypatch.setenv(ENDPOINT, chaos.endpoint)
    assert "--offline" in receiver_of(capsys, "--offline")["text"]
    assert chaos.requests == []


def test_an_exporter_without_a_probe_is_connected_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos
) -> None:
    place = chaos.endpoint.removeprefix("http://").removesuffix("/v1/traces")
    closed: list[float] = []
    foreign = SimpleNamespace(endpoint=place, export=lambda batch: None, shutdown=closed.append)
    monkeypatch.setattr(export, "create", lambda name, settings: foreign)
    monkeypatch.setenv("FASTTRACE_EXPORTER", "otlp")
    report = doctor.examine(timeout=30).to_dict()
    assert finding(report, "exporter", "connection")["text"] == f"{place} accepts connections"
    assert (finding(report, "exporter", "receiver")["status"], closed) == ("ok", [0])


@pytest.fixture
def tls(chaos: Chaos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the server speak TLS; the certificate is for 127.0.0.1, from nobody known."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    chaos.server.socket = context.wrap_socket(chaos.server.socket, server_side=True)
    return certificate


def test_tls_errors_are_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos, tls: Path
) -> None:
    secure = chaos.endpoint.replace("http:", "https:")
    monkeypatch.setenv(ENDPOINT, secure)
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in receiver_of(capsys)["advice"]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tls))
    assert receiver_of(capsys)["status"] == "ok"
    monkeypatch.setenv(ENDPOINT, secure.replace("127.0.0.1", "localhost"))
    assert "use the name that the certificate was issued for" in receiver_of(capsys)["advice"]
    monkeypatch.setenv(ENDPOINT, chaos.endpoint)
    assert "http or https" in receiver_of(capsys)["advice"]


def test_tls_to_a_plain_port_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos
) -> None:
    monkeypatch.setenv(ENDPOINT, chaos.endpoint.replace("http:", "https:"))
    assert "use http:// in the endpoint" in receiver_of(capsys)["advice"]


def test_a_proxy_is_named_and_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos
) -> None:
    monkeypatch.setenv("http_proxy", chaos.endpoint.removesuffix("/v1/traces").replace("//", "//user:hunter2@"))
    monkeypatch.setenv(ENDPOINT, "http://collector.invalid:4318/v1/traces")
    code, report = examined(capsys)
    assert code == 0
    assert "http://127.0.0.1" in finding(report, "exporter", "proxy")["text"]
    assert chaos.requests[0][0] == "http://collector.invalid:4318/v1/traces"
    assert "hunter2" not in str(report)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    assert "refused" in str(examined(capsys)[1])


def test_no_secret_is_ever_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chaos: Chaos
) -> None:
    def echo(handler: Any) -> None:
        answer(401, f"{handler.headers['authorization']} {handler.headers['x-key']} ".encode())(handler)

    chaos.script = [echo]
    monkeypatch.setenv(ENDPOINT, chaos.endpoint + "?token=hunter2")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20sesame%2Dsesame,x-key=mellon%2Dmellon")
    for argv in (["doctor"], ["doctor", "--json"]):
        assert main(argv) == 1
        captured = capsys.readouterr()
        shown = captured.out + captured.err
        assert chaos.requests[-1][1]["authorization"] == "Bearer sesame-sesame"
        assert not [secret for secret in ("sesame", "mellon", "hunter2") if secret in shown]
        assert "authorization: set, x-key: set" in shown
    for broken in (
        "http://user:hunter2@host:4318/v1/traces",
        "http://user:hun/ter2@host",
        "http://user:hunter2@host:port/v1/traces",
    ):
        monkeypatch.setenv(ENDPOINT, broken)
        assert main(["doctor"]) == 1
        assert "hun" not in capsys.readouterr().out


# --- the disk


def write(provider: fasttrace.TracerProvider, count: int) -> None:
    for _ in range(count):
        provider.get_tracer("test").start_span("operation").end()
    provider.shutdown(0.5)


def test_the_spool_is_measured_and_not_touched(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spool = Path(".fasttrace/spool").absolute()
    for _ in range(2):
        write(fasttrace.TracerProvider(exporter=SpoolExporter(spool)), 3)
    before = tree(tmp_path)
    code, report = examined(capsys)
    assert (code, tree(tmp_path)) == (0, before)
    size = sum(path.stat().st_size for path in spool.glob("*.spool"))
    assert finding(report, "spool", "contents")["data"] == {"segments": 2, "bytes": size, "max_bytes": 512 << 20}
    assert finding(report, "spool", "permissions")["status"] == "ok"
    assert finding(report, "spool", "writable")["text"] == "yes"


def test_torn_frames_and_loose_permissions_are_warned_of(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spool = tmp_path / "other"
    write(fasttrace.TracerProvider(exporter=SpoolExporter(spool)), 3)
    (segment,) = spool.glob("*.spool")
    segment.write_bytes(segment.read_bytes() + b"FTS1 torn")
    segment.chmod(0o644)
    code, report = examined(capsys, "--spool", str(spool))
    assert (code, finding(report, "spool", "damaged")["data"]) == (0, {"bytes": 9})
    assert finding(report, "spool", "permissions")["data"] == {"paths": [str(segment)]}
    assert finding(report, "settings", "spool_dir")["data"]["source"] == "argument"


def test_a_spool_that_can_not_be_made_is_an_error_only_for_its_exporter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASTTRACE_SPOOL_DIR", str(tmp_path / "file" / "spool"))
    _, report = examined(capsys)
    assert troubles(report) == ["writable"]
    assert "FASTTRACE_SPOOL_DIR" in finding(report, "spool", "writable")["advice"]
    monkeypatch.setenv("FASTTRACE_EXPORTER", "console")
    assert examined(capsys)[0] == 0


def test_the_jsonlines_file_is_not_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FASTTRACE_EXPORTER", "jsonlines")
    assert examined(capsys)[0] == 0
    assert not Path("traces.jsonl").exists()
    monkeypatch.setenv("FASTTRACE_JSONLINES_PATH", "nowhere/traces.jsonl")
    assert troubles(examined(capsys)[1]) == ["file"]


def test_spans_that_wait_are_told_by_destination(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    endpoint = f"http://127.0.0.1:{closed_port()}/v1/traces"
    for count, token in ((3, "mine-mine"), (5, "other-other")):
        exporter = OTLPExporter(endpoint, headers={"authorization": token}, timeout=0.1)
        write(fasttrace.TracerProvider(exporter=exporter, exit_timeout=0.1), count)
    monkeypatch.setenv(ENDPOINT, endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=mine-mine")
    before = tree(tmp_path)
    _, report = examined(capsys, "--offline")
    assert tree(tmp_path) == before
    waiting = [item for item in report["sections"][-1]["findings"] if item["name"] == "waiting"]
    assert {(item["data"]["spans"], item["data"]["own"]) for item in waiting} == {(3, True), (5, False)}
    assert all(0 <= item["data"]["oldest_seconds"] < 600 and item["status"] == "warning" for item in waiting)
    monkeypatch.setenv("FASTTRACE_UNDELIVERED_DIR", "none")
    assert finding(examined(capsys, "--offline")[1], "undelivered", "folder")["data"] == {"folder": None}


def test_what_has_been_delivered_does_not_wait(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    waiting = Undelivered(str(tmp_path / "state" / "fasttrace" / "undelivered" / "0123456789abcdef"))
    for spans in (2, 4):
        ring = Ring()
        recorder = Recorder(ring)
        recorder.consumer_running = True
        for _ in range(spans):
            fasttrace.Tracer(fasttrace.InstrumentationScope("test"), recorder).start_span("operation").end()
        waiting.put(RecordBatch(ring.take(spans, 1 << 20), b"", [(b"", "")]).otlp, spans)
    first = waiting.first()
    assert first is not None
    assert waiting.done(first[0])
    assert finding(examined(capsys)[1], "undelivered", "waiting")["data"]["spans"] == 4
    waiting.close()
