"""Declares the compiled core; everything else stands in pyproject.toml.

FASTTRACE_BUILD=cython|pure      compiled (the default; fails where it can't compile) or pure Python
FASTTRACE_BUILD_TRACE=1          line tracing, for coverage only
FASTTRACE_BUILD_ANNOTATE=1       annotated HTML beside the generated C
FASTTRACE_BUILD_DEBUG=1          no optimisation, assertions; flags from FASTTRACE_BUILD_CFLAGS and _LDFLAGS
"""

import gzip
import os
import re
import sys
import tarfile
import time
import tomllib
from glob import glob
from pathlib import Path
from zlib import crc32

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

MODULES = (
    "ids",
    "context",
    "headers",
    "otlp",
    "decode",
    "ring",
    "store",
    "tail",
    "recorder",
    "events",
    "raised",
    "span",
)
FOLDER = "src/fasttrace/_core/_cython"
WAYS_OUT = (
    "fasttrace could not build its compiled core: {reason}\n"
    "Either install a C compiler and the headers of this Python (Debian: apt install gcc python3-dev), or build the "
    "slow, pure-Python package on purpose with FASTTRACE_BUILD=pure."
)


def description():
    """README.md; with a repository in pyproject.toml, what it points at is there, since an index has only the text."""
    text = Path("README.md").read_text(encoding="utf-8")
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    repository = project.get("urls", {}).get("Repository", "").rstrip("/")
    if not repository:
        return text
    version = re.search(r'__version__ = "(.+)"', Path("src/fasttrace/_version.py").read_text(encoding="utf-8"))[1]

    def absolute(link):
        kind = "raw" if link["target"].endswith((".png", ".svg")) else "blob"
        return f"{link['before']}{repository}/{kind}/v{version}/{link['target']}"

    return re.sub(r'(?P<before>\]\(|src="|srcset=")(?!https?:|#)(?P<target>[^)"]+)', absolute, text)


class Sources(sdist):
    """An archive that its files alone decide, and SOURCE_DATE_EPOCH: sorted, owned by nobody, with a clone's modes."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):  # noqa: A002
        if format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())

        def plain(member):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.mtime = epoch
            return member

        archive = f"{base_name}.tar.gz"
        self.mkpath(os.path.dirname(archive))
        with (
            open(archive, "wb") as file,
            gzip.GzipFile("", "wb", 9, file, epoch) as packed,
            tarfile.open(fileobj=packed, mode="w") as tar,
        ):
            tar.add(base_dir, filter=plain)
        return archive


class Build(build_ext):
    """Names both ways out when the compiler fails; a compiled build never degrades."""

    def build_extensions(self):
        # Where this Python itself was installed is in the flags that it was built with, and would be in the library.
        linker = getattr(self.compiler, "linker_so", None)
        if linker:
            self.compiler.linker_so = [option for option in linker if not option.startswith("-Wl,-rpath")]
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
    link_flags = os.environ.get("FASTTRACE_BUILD_LDFLAGS", "").split()
    # No path of this machine and no time: two builds give the same bytes.
    if unix:
        optimised = ("-O0", "-g") if debug else ("-O3", "-g0")
        compile_flags = [*optimised, f"-ffile-prefix-map={os.getcwd()}=.", *compile_flags]
    else:
        compile_flags, link_flags = ["/Brepro", *compile_flags], ["/Brepro", *link_flags]
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
                extra_link_args=link_flags,
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
os.umask(0o022)  # wheels carry the modes of the files that were built
setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    options={
        "build": {"build_base": build_folder() if not pure else "build/pure"},
        # Not with MSVC, whose object sets itself up in its first call, which threads would share.
        "build_ext": {"parallel": os.cpu_count() if os.name != "nt" else None},
    },
    ext_modules=[] if pure else extensions(),
    cmdclass={"sdist": Sources} if pure else {"sdist": Sources, "build_ext": Build},
    exclude_package_data={"fasttrace._core._cython": ["*.pyx", "*.pxd", "*.pyi", "native/*"]} if pure else {},
)
