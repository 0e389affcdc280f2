"""What MSVC compiles of the C headers, on a machine that has no MSVC: its branches, read by clang in its place.

Microsoft's own headers are not here either; of them there is declared what ours use.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEADERS = Path(__file__).parents[2] / "src" / "fasttrace" / "_core" / "_cython" / "native"
CLANG = shutil.which("clang")
MICROSOFT = {
    "intrin.h": """
        long _InterlockedExchange(long volatile *, long);
        long _InterlockedOr(long volatile *, long);
        void _ReadWriteBarrier(void);
        unsigned char _BitScanReverse64(unsigned long *, unsigned __int64);
        unsigned __int64 __ldar64(unsigned __int64 volatile *);
        unsigned __int32 __ldar32(unsigned __int32 volatile *);
        void __stlr64(unsigned __int64 volatile *, unsigned __int64);
    """,
    "windows.h": """
        typedef union { __int64 QuadPart; } LARGE_INTEGER;
        typedef struct { unsigned long dwLowDateTime, dwHighDateTime; } FILETIME;
        int QueryPerformanceFrequency(LARGE_INTEGER *);
        int QueryPerformanceCounter(LARGE_INTEGER *);
        void GetSystemTimePreciseAsFileTime(FILETIME *);
    """,
    "stdlib.h": """
        #include <stddef.h>
        void *malloc(size_t);
        void *calloc(size_t, size_t);
        void *realloc(void *, size_t);
        void free(void *);
        unsigned long _byteswap_ulong(unsigned long);
        unsigned __int64 _byteswap_uint64(unsigned __int64);
    """,
    "string.h": """
        #include <stddef.h>
        void *memcpy(void *, const void *, size_t);
        void *memmove(void *, const void *, size_t);
        void *memset(void *, int, size_t);
        int memcmp(const void *, const void *, size_t);
    """,
}
# What only GCC and clang know. Clang would take it here, too.
FOREIGN = re.compile(
    r"\b(?:__builtin_(?!offsetof)\w+|__atomic_\w+|__sync_\w+|__attribute__|__extension__|__typeof__|_Thread_local)\b"
)


def headers_alone() -> list[str]:
    """Those without Python.h."""
    return sorted(path.name for path in HEADERS.glob("*.h") if "<Python.h>" not in path.read_text())


@pytest.mark.skipif(CLANG is None, reason="no clang: apt install clang")
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough")
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("threads", [(), ("-DPy_GIL_DISABLED",)], ids=["gil", "free-threaded"])
def test_the_headers_have_nothing_that_msvc_does_not_know(
    tmp_path: Path, machine: str, threads: tuple[str, ...]
) -> None:
    for name, text in MICROSOFT.items():
        (tmp_path / name).write_text(f"#pragma once\n{text}")
    names = headers_alone()
    assert {"atomics.h", "buffer.h", "clock.h", "duration.h", "process.h", "ring.h", "store.h"} <= set(names)
    source = tmp_path / "all.c"
    source.write_text("".join(f'#include "{name}"\n' for name in names))
    command = [
        CLANG, f"--target={machine}-pc-windows-msvc", "-fms-compatibility-version=19.40", "-fms-extensions",
        "-U__clang__", "-U__GNUC__", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function",
        "-Wno-incompatible-library-redeclaration", f"-I{tmp_path}", f"-I{HEADERS}", *threads,
    ]  # fmt: skip
    checked = subprocess.run([*command, "-fsyntax-only", source], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    seen = subprocess.run([*command, "-E", "-P", source], capture_output=True, text=True, check=True).stdout
    assert "_InterlockedExchange" in seen
    assert not FOREIGN.findall(seen)
