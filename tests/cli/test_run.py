"""``fasttrace run``: the program is the same, and traced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from receiving import Receiver
from running import FASTTRACE, Runner

from fasttrace.cli.run import wait_for

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and files of POSIX")

SPAN = "import fasttrace, os\nfasttrace.get_tracer('app').start_span(f'work/{os.getpid()}').end()\n"
IN_A_LINE = ("fasttrace: ", "spans go to")


def test_a_program_is_traced_keeps_its_exit_code_and_the_first_line_says_where_spans_go(runner: Runner) -> None:
    runner.write("app.py", SPAN + "print('done')\nraise SystemExit(7)")
    ran = runner.run("--service", "shop", "--", "python", "app.py")
    assert (ran.returncode, ran.stdout) == (7, "done\n")
    (line,) = ran.stderr.splitlines()
    assert line == f"fasttrace: shop: spans go to {runner.spool}"
    (span,) = runner.spans(1)
    assert span.resource["service.name"] == "shop"


def test_verbose_says_what_is_traced_in_every_process_when_it_is_imported(runner: Runner) -> None:
    runner.write("leaf.py", "import os, sqlite3\nprint(os.getpid())")
    code = (
        "import os, subprocess, sys, httpx\nprint(os.getpid(), flush=True)\nsubprocess.run([sys.executable, 'leaf.py'])"
    )
    ran = runner.run("--verbose", "--only", "sqlite3,httpx", "python", "-c", code)
    first, second = ran.stdout.split()
    assert ran.stderr.splitlines()[1:] == [
        f"fasttrace: process {first}: httpx is traced",
        f"fasttrace: process {second}: sqlite3 is traced",
    ]
    assert runner.run("--verbose", "--quiet", "true").returncode == 2


def test_a_variable_that_is_ignored_is_a_line_and_no_setting_is_nowhere(runner: Runner) -> None:
    runner.environment |= {"OTEL_BSP_SCHEDULE_DELAY": "soon", "OTEL_TRACES_EXPORTER": "none"}
    ran = runner.run("--service", "shop", "python", "-c", "")
    assert ran.stderr.splitlines() == [
        "fasttrace: OTEL_BSP_SCHEDULE_DELAY='soon': use a whole number of milliseconds; it is ignored",
        "fasttrace: shop: spans go nowhere, says OTEL_TRACES_EXPORTER",
    ]


def test_what_is_imported_is_instrumented_without_a_line_in_the_program(runner: Runner) -> None:
    code = (
        "import http.server, threading, urllib.request\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
        "thread = threading.Thread(target=server.handle_request)\n"
        "thread.start()\n"
        "urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f'http://127.0.0.1:{server.server_port}/').read()\n"
        "thread.join()\n"
        "server.server_close()\n"
    )
    runner.write("client.py", code)
    assert runner.run("--quiet", "python", "-m", "client").returncode == 0
    (span,) = runner.spans(1)
    assert (span.name, span.attributes["http.response.status_code"]) == ("GET", 200)


PROBE = """
import json, os, signal, sys, threading
names = [n for n in os.environ if not n.startswith("FASTTRACE_") and n not in ("PYTHONPATH", "_")]
json.dump([sys.argv, sys.path, sys.flags, sys.warnoptions, __name__, os.getcwd(), sorted(names), sys.stdin.read(),
    str(signal.getsignal(signal.SIGINT)), threading.active_count(), sys.orig_argv[1:], os.ttyname(0) if os.isatty(0) else ""],
    sys.stdout)
"""


def test_the_program_sees_what_it_would_have_seen(runner: Runner) -> None:
    runner.environment["PYTHONPATH"] = f"{runner.folder}/one{os.pathsep}{runner.folder}/two"
    runner.write("probe.py", PROBE)
    for command in (["python", "probe.py", "--", "a b", ""], ["python", "-W", "error", "-m", "probe", "--help"]):
        plain = runner.run(*command, stdin="text\n", prefix=[])
        traced = runner.run("--quiet", "--", *command, stdin="text\n")
        assert (plain.returncode, plain.stderr) == (0, "")
        assert (traced.returncode, traced.stdout, traced.stderr) == (0, plain.stdout, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_program_which_is_this_process_and_nothing_is_lost(runner: Runner, number: int) -> None:
    # Short sleeps: a signal that comes just before a sleep begins is looked at when it ends.
    app = "import time\nprint(os.getpid(), flush=True)\nfor _ in range(1200): time.sleep(0.05)"
    runner.write("app.py", SPAN + app)
    with runner.start("--quiet", "--", "python", "app.py") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{process.pid}\n"
        process.send_signal(number)
        assert process.wait(60) == -number
    assert [span.name for span in runner.spans()] == [f"work/{process.pid}"]


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads /proc")
def test_a_program_that_is_no_python_has_its_signals_as_ever(runner: Runner) -> None:
    command = ("grep", "^Sig[BI]", "/proc/self/status")
    assert runner.run("--", *command).stdout == runner.run(*command, prefix=[]).stdout


def test_processes_below_are_traced_too_and_say_nothing(runner: Runner) -> None:
    runner.write("leaf.py", SPAN)
    code = SPAN + (
        "import multiprocessing, subprocess, sys\n"
        "if __name__ == '__main__':\n"
        "    subprocess.run([sys.executable, 'leaf.py'], check=True)\n"
        "    process = multiprocessing.get_context('spawn').Process(target=print, args=('spawned',))\n"
        "    process.start(), process.join()\n"
    )
    runner.write("app.py", code)
    ran = runner.run("sh", "-c", "python app.py && echo $PYTHONPATH")
    assert ran.returncode == 0
    assert [all(part in line for part in IN_A_LINE) for line in ran.stderr.splitlines()] == [True], ran.stderr
    assert len({span.resource["process.pid"] for span in runner.spans(3)}) == 3


def test_a_sitecustomize_that_was_there_still_runs_and_fails_as_before(runner: Runner) -> None:
    runner.environment["PYTHONPATH"] = f"{runner.folder}/mine"
    runner.write("mine/sitecustomize.py", "import sys\nsys.mine = __file__\n")
    ask = "import sys, sitecustomize; print(sys.mine, sitecustomize.__file__)" + "\n" + SPAN
    mine = f"{runner.folder}/mine/sitecustomize.py"
    assert runner.run("--quiet", "python", "-c", ask).stdout == f"{mine} {mine}\n"
    runner.write("mine/sitecustomize.py", "raise KeyError('mine')\n")
    plain = runner.run("python", "-c", "", prefix=[])
    assert "KeyError: 'mine'" in plain.stderr
    assert runner.run("--quiet", "python", "-c", SPAN).stderr == 2 * plain.stderr  # fasttrace's own Python has it, too
    assert len(runner.spans(2)) == 2


def test_a_broken_configuration_is_a_line_and_the_program_runs_without(runner: Runner) -> None:
    runner.environment["FASTTRACE_EXPORTER"] = "spol"
    ran = runner.run("python", "-c", "import os, sys; print('done', flush=True); os.system(sys.executable + ' -c 1')")
    assert (ran.returncode, ran.stdout) == (0, "done\n")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("fasttrace: runs untraced: FASTTRACE_EXPORTER='spol': use one of otlp")


def test_a_core_that_does_not_exist_is_a_line_and_the_program_runs_without(runner: Runner) -> None:
    runner.environment["FASTTRACE_IMPL"] = "fast"
    ran = runner.run("python", "-c", "print('done')")
    assert (ran.returncode, ran.stdout) == (0, "done\n")
    (line,) = ran.stderr.splitlines()
    assert line.endswith("can't be imported there: FASTTRACE_IMPL='fast': use auto, cython or python")


def test_a_spool_that_can_not_be_written_is_a_line_and_the_program_runs_without(runner: Runner) -> None:
    runner.write("spool", "a file")
    ran = runner.run("--spool", "spool", "--", "python", "-c", "print('done')")
    assert (ran.returncode, ran.stdout) == (0, "done\n")
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith("fasttrace: runs untraced: ")


def test_a_python_without_fasttrace_runs_as_ever(runner: Runner) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(runner.folder / "other")], check=True)
    other = f"{runner.folder}/other/bin/python"
    script = runner.write("script", f"#!{other}\nimport sys; print(sys.prefix); sys.exit(3)\n", 0o755)
    ran = runner.run("--", script)
    assert (ran.returncode, ran.stdout) == (3, f"{runner.folder}/other\n")
    assert (
        ran.stderr
        == f"fasttrace: {other} runs untraced, fasttrace can't be imported there: No module named 'fasttrace'\n"
    )
    # A launcher may be such a one; what it starts is traced, and says so.
    runner.write("leaf.py", SPAN)
    ran = runner.run(
        "--", other, "-c", f"import subprocess; subprocess.run([{sys.executable!r}, 'leaf.py'], check=True)"
    )
    assert len(ran.stderr.splitlines()) == 2
    assert len(runner.spans(1)) == 1


def test_a_subinterpreter_is_left_alone(runner: Runner) -> None:
    if runner.environment.get("FASTTRACE_IMPL") == "cython":
        del runner.environment["FASTTRACE_IMPL"]  # it would hide that the compiled core can't be loaded there
    code = (
        "import importlib\n"
        "for name in ('_interpreters', '_xxsubinterpreters'):\n"
        "    try: module = importlib.import_module(name)\n"
        "    except ImportError: continue\n"
        "    module.run_string(module.create(), 'print(\"inside\", flush=True)')\n"
        "    break\n"
    )
    ran = runner.run("--quiet", "python", "-c", code)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "inside\n", "")


def test_with_an_endpoint_spans_go_there_and_the_line_keeps_its_secrets(runner: Runner, receiver: Receiver) -> None:
    runner.environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{receiver.endpoint}?key=hunter2"
    ran = runner.run("python", "-c", SPAN)
    assert receiver.endpoint in ran.stderr
    assert "hunter2" not in ran.stderr
    assert len(receiver.spans(1)) == 1


def test_options_are_the_environment_of_all_below(runner: Runner) -> None:
    names = ["FASTTRACE_SERVICE_NAME", "FASTTRACE_INSTRUMENT", "FASTTRACE_EXPORTER", "FASTTRACE_SPOOL_DIR"]
    code = f"import os; print(*(os.environ[n] for n in {names}))"
    ran = runner.run("--service", "shop", "--only", "httpx,logging", "--spool", "here", "python", "-c", code)
    assert ran.stdout == f"shop httpx,logging spool {runner.folder}/here\n"
    assert ran.stderr == f"fasttrace: shop: spans go to {runner.folder}/here\n"
    ran = runner.run("--only", "htpx", "--", "true")
    assert ran.returncode == 2
    assert "use all, none, or names of" in ran.stderr


def test_two_runs_are_compared_by_their_names(runner: Runner) -> None:
    runner.environment["OTEL_RESOURCE_ATTRIBUTES"] = "service.version=1.4"
    for name in ("before", "after, 2"):
        assert runner.run("--name", name, "--service", "shop", "python", "-c", SPAN).returncode == 0
    resources = [span.resource for span in runner.spans(2)]
    assert {resource["fasttrace.run"] for resource in resources} == {"before", "after, 2"}
    assert {resource["service.version"] for resource in resources} == {"1.4"}
    sides = ("fasttrace.run=before", 'fasttrace.run="after, 2"')
    compared = runner.run("diff", "--json", *sides, prefix=[*FASTTRACE[:-1]])
    found = json.loads(compared.stdout)
    assert (found["a"]["traces"], found["b"]["traces"]) == (1, 1)


def test_a_mistyped_command_is_answered_with_the_right_one(runner: Runner) -> None:
    runner.write("bin/uvicornish", "#!/bin/sh\n", 0o755)
    runner.environment["PATH"] = f"{runner.folder}/bin"
    ran = runner.run("uvicornis", "app:app")
    assert (ran.returncode, ran.stderr) == (127, "fasttrace: uvicornis: not found. Did you mean uvicornish?\n")
    ran = runner.run("bin/uvicornsh")
    assert (ran.returncode, ran.stderr) == (127, "fasttrace: bin/uvicornsh: not found. Did you mean bin/uvicornish?\n")
    ran = runner.run("zzzzzzzzzzzz")
    assert (ran.returncode, ran.stderr) == (127, "fasttrace: zzzzzzzzzzzz: not found.\n")


def test_what_can_not_be_executed_says_why_and_what_to_do(runner: Runner) -> None:
    runner.write("app.py", "")
    runner.write("bare", "echo hello\n", 0o755)
    runner.write("lost", "#!/nowhere/python\n", 0o755)
    runner.write("bin/plain", "")
    runner.environment["PATH"] = f"{runner.folder}/bin"
    advice = "to run it with Python: fasttrace run -- python"
    for command, code, text in (
        ("app.py", 127, "app.py: not found. Did you mean python app.py?"),
        ("./app.py", 126, f"./app.py: is not executable; {advice} ./app.py"),
        ("./bare", 126, "./bare: is no program: it has no #! line"),
        ("./lost", 126, "./lost: the interpreter in its #! line does not exist"),
        ("./bin", 126, "./bin: is a directory"),
        ("plain", 126, "plain: is not executable"),
    ):
        ran = runner.run("--", command)
        assert (ran.returncode, ran.stderr) == (code, f"fasttrace: {text}\n")


def test_a_command_beside_fasttrace_needs_no_path(runner: Runner) -> None:
    runner.environment["PATH"] = "/nowhere"
    ran = runner.run("--quiet", "--", os.path.basename(sys.executable), "-c", "print('done')")
    assert (ran.returncode, ran.stdout) == (0, "done\n")


def test_without_a_command_the_usage_is_shown(runner: Runner) -> None:
    for arguments in ([], ["--"], ["--service", "shop"]):
        ran = runner.run(*arguments)
        assert ran.returncode == 2
        assert ran.stderr.startswith("usage: fasttrace run [options] [--] COMMAND [ARGUMENT ...]\n")
    ran = runner.run("--servce", "shop", "--", "true")
    assert (ran.returncode, "Did you mean --service?" in ran.stderr) == (2, True)


def test_where_no_process_can_become_another_one_its_code_is_passed_on(runner: Runner) -> None:
    code = "import sys; sys.exit(int(sys.argv[1]))"
    assert wait_for(sys.executable, ["python", "-c", code, "5"], runner.environment) == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_runs_inside_itself(runner: Runner) -> None:
    ran = runner.run("--", *FASTTRACE, "--quiet", "--", "python", "-c", SPAN + "print(os.environ['PYTHONPATH'])")
    assert ran.returncode == 0
    assert ran.stdout.strip().endswith("_site")
    assert os.pathsep not in ran.stdout
    assert len(runner.spans(1)) == 1


GREEN = """
import warnings
warnings.simplefilter("error")
from gevent import monkey
monkey.patch_all()
import urllib3.util.ssl_
urllib3.util.ssl_.create_urllib3_context()
"""


def test_a_program_that_gevent_patches_can_still_open_connections_and_is_traced(
    runner: Runner, receiver: Receiver
) -> None:
    pytest.importorskip("gevent")
    runner.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.base
    ran = runner.run("--quiet", "python", "-c", GREEN + SPAN)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(receiver.spans(1)) == 1
