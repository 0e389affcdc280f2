"""The C headers by themselves, under ThreadSanitizer, AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HEADERS = ROOT / "src" / "fasttrace" / "_core" / "_cython" / "native"
COMPILER = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-pthread", "-D_GNU_SOURCE"]
SANITIZERS = {
    "thread": ["-fsanitize=thread"],
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "optimised": ["-O3"],
}
# The nightly run sets more; here it is enough to wrap a small ring many thousand times.
RECORDS = int(os.environ.get("STRESS_RECORDS", "100000"))

Build = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles a harness with a sanitizer, once."""
    if COMPILER is None:
        pytest.fail("no C compiler: install gcc or clang, the headers are tested by themselves")
    folder = tmp_path_factory.mktemp("native")

    def make(source: str, sanitizer: str) -> Path:
        program = folder / f"{source}-{sanitizer}"
        if not program.exists():
            command = [COMPILER, *FLAGS, *SANITIZERS[sanitizer], f"-I{HEADERS}", str(HERE / f"{source}.c")]
            subprocess.run([*command, "-o", str(program)], check=True)
        return program

    return make


def run(program: Path, *arguments: str) -> None:
    command = [str(program), *arguments]
    if program.name.endswith("-thread"):
        # ThreadSanitizer needs a memory layout without much randomness, which newer kernels do not give by default.
        setarch = shutil.which("setarch")
        command = [setarch, "-R", *command] if setarch else command
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "ok\n"
    assert "WARNING" not in result.stderr


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize(("capacity", "records"), [(1024, RECORDS), (65536, RECORDS // 8)])
def test_one_producer_and_one_consumer_never_race(build: Build, sanitizer: str, capacity: int, records: int) -> None:
    run(build("ring_harness", sanitizer), "threads", str(records), str(capacity))


@pytest.mark.parametrize("sanitizer", ["address", "optimised"])
def test_the_ring_holds_at_its_edges(build: Build, sanitizer: str) -> None:
    run(build("ring_harness", sanitizer), "edges")


@pytest.mark.parametrize("sanitizer", ["address", "optimised"])
def test_primitives_hold_at_their_edges(build: Build, sanitizer: str) -> None:
    run(build("primitives_harness", sanitizer))


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("mode", ["random", "scarce", "threads"])
def test_the_store_holds_whatever_comes_and_whatever_is_short(build: Build, sanitizer: str, mode: str) -> None:
    run(build("store_harness", sanitizer), mode, "20000")


BREAKS = {
    "evicted records that are still listed": ("trace->first = trace->last = NULL;", "", "AddressSanitizer"),
    "a trace that stays in its bucket": ("    *at = trace->chained;\n", "", "AddressSanitizer"),
    "records that are never freed": ("next = node->next;\n        free(node);", "next = node->next;", "LeakSanitizer"),
    "bytes that are not given back": ("store->held_bytes -= trace->held_bytes;", "", "store_harness.c"),
    "a loss that is not counted": ("store->trace_evicted += trace->held_spans;", "", "store_harness.c"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_harness_sees_a_broken_store(tmp_path: Path, name: str) -> None:
    right, wrong, complaint = BREAKS[name]
    broken = tmp_path / "native"
    shutil.copytree(HEADERS, broken)
    text = (broken / "store.h").read_text()
    assert right in text
    (broken / "store.h").write_text(text.replace(right, wrong))
    program = tmp_path / "broken-address"
    assert COMPILER is not None
    command = [COMPILER, *FLAGS, *SANITIZERS["address"], f"-I{broken}", str(HERE / "store_harness.c")]
    subprocess.run([*command, "-o", str(program)], check=True)
    with pytest.raises(AssertionError, match=complaint):
        run(program, "random", "5000")


def test_the_harness_sees_a_store_that_two_threads_change_at_once(tmp_path: Path) -> None:
    text = (HERE / "store_harness.c").read_text()
    assert "pthread_mutex_lock(&mutex);" in text
    source, program = tmp_path / "unlocked.c", tmp_path / "unlocked-thread"
    source.write_text(text.replace("pthread_mutex_lock(&mutex);", "").replace("pthread_mutex_unlock(&mutex);", ""))
    assert COMPILER is not None
    command = [COMPILER, *FLAGS, "-Wno-unused-variable", "-fsanitize=thread", f"-I{HEADERS}", str(source)]
    subprocess.run([*command, "-o", str(program)], check=True)
    with pytest.raises(AssertionError, match="data race"):
        run(program, "threads", "2000")


def test_the_harness_sees_a_race_when_there_is_one(build: Build, tmp_path: Path) -> None:
    """With relaxed stores in place of releases ThreadSanitizer must complain; else it guards nothing."""
    broken = tmp_path / "native"
    shutil.copytree(HEADERS, broken)
    atomics = broken / "atomics.h"
    text = atomics.read_text()
    assert "__ATOMIC_RELEASE" in text
    atomics.write_text(
        text.replace("__ATOMIC_RELEASE", "__ATOMIC_RELAXED").replace("__ATOMIC_ACQUIRE", "__ATOMIC_RELAXED")
    )
    program = tmp_path / "racy-thread"
    assert COMPILER is not None
    command = [COMPILER, *FLAGS, "-fsanitize=thread", f"-I{broken}", str(HERE / "ring_harness.c"), "-o", str(program)]
    subprocess.run(command, check=True)
    with pytest.raises(AssertionError, match="data race"):
        run(program, "threads", "20000", "1024")


def test_the_headers_need_no_python() -> None:
    for name in (
        "atomics.h",
        "ring.h",
        "rng.h",
        "process.h",
        "hex.h",
        "buffer.h",
        "clock.h",
        "links.h",
        "judge.h",
        "store.h",
    ):
        assert "#include <Python.h>" not in (HEADERS / name).read_text()
        assert '#include "Python.h"' not in (HEADERS / name).read_text()
