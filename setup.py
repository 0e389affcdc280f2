"""Declares the compiled core; everything else stands in pyproject.toml.

FASTTRACE_BUILD=cython|pure      compiled (the default; fails where it can't compile) or pure Python
FASTTRACE_BUILD_TRACE=1          line tracing, for coverage only
FASTTRACE_BUILD_ANNOTATE=1       annotated HTML beside the generated C
FASTTRACE_BUILD_DEBUG=1          no optimisation, assertions; flags from FASTTRACE_BUILD_CFLAGS and _LDFLAGS
"""

import os
import sys
from glob import glob
from zlib import crc32

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MODULES = ("ids", "context", "headers", "otlp", "decode", "ring", "store", "tail", "span")
FOLDER = "src/fasttrace/_core/_cython"
WAYS_OUT = (
    "fasttrace could not build its compiled core: {reason}\n"
    "Either install a C compiler and the headers of this Python (Debian: apt install gcc python3-dev), or build the "
    "slow, pure-Python package on purpose with FASTTRACE_BUILD=pure."
)


class Build(build_ext):
    """Names both ways out when the compiler fails; a compiled build never degrades."""

    def build_extensions(self):
        try:
            super().build_extensions()
        except Exception as error:
            sys.exit(WAYS_OUT.format(reason=error))


def flag(name):
    return os.environ.get(name, "") not in ("", "0")


def build_folder():
    """One for each kind of build: neither cythonize nor setuptools sees that directives or flags have changed."""
    names = (
        "FASTTRACE_BUILD_TRACE",
        "FASTTRACE_BUILD_DEBUG",
        "FASTTRACE_BUILD_CFLAGS",
        "FASTTRACE_BUILD_LDFLAGS",
        "CC",
    )
    chosen = [f"{name}={os.environ[name]}" for name in names if os.environ.get(name)]
    return f"build/{crc32(' '.join(chosen).encode()):08x}" if chosen else "build/release"


def extensions():
    try:
        from Cython.Build import cythonize
    except ImportError as error:
        sys.exit(WAYS_OUT.format(reason=error))
    debug, trace, unix = flag("FASTTRACE_BUILD_DEBUG"), flag("FASTTRACE_BUILD_TRACE"), os.name != "nt"
    compile_flags = os.environ.get("FASTTRACE_BUILD_CFLAGS", "").split()
    if unix:
        compile_flags = [
            *(("-O0", "-g") if debug else ("-O3", "-g0")),
            "-ffile-prefix-map=" + os.getcwd() + "=.",
            *compile_flags,
        ]
    return cythonize(
        [
            Extension(
                f"fasttrace._core._cython.{name}",
                [f"{FOLDER}/{name}.pyx"],
                include_dirs=[f"{FOLDER}/native"],
                depends=sorted(glob(f"{FOLDER}/native/*.h")),
                define_macros=[("CYTHON_TRACE_NOGIL", "1")]
                if trace
                else []
                if debug
                else [("CYTHON_WITHOUT_ASSERTIONS", "1")],
                extra_compile_args=compile_flags,
                extra_link_args=os.environ.get("FASTTRACE_BUILD_LDFLAGS", "").split(),
            )
            for name in MODULES
        ],
        # Never beside the sources: sdists and wheels carry no generated C.
        build_dir=f"{build_folder()}/cython",
        include_path=["src"],
        annotate=flag("FASTTRACE_BUILD_ANNOTATE"),
        compiler_directives={
            "language_level": 3,
            "boundscheck": debug,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "auto_pickle": False,
            "autotestdict": False,
            "binding": True,
            "embedsignature.format": "clinic",
            "linetrace": trace,
        },
    )


build = os.environ.get("FASTTRACE_BUILD") or "cython"
if build not in ("cython", "pure"):
    sys.exit(f"FASTTRACE_BUILD={build!r}: use cython or pure")
pure = build == "pure"
setup(
    options={"build": {"build_base": build_folder() if not pure else "build/pure"}},
    ext_modules=[] if pure else extensions(),
    cmdclass={} if pure else {"build_ext": Build},
    exclude_package_data={"fasttrace._core._cython": ["*.pyx", "*.pxd", "*.pyi", "native/*"]} if pure else {},
)
