"""Which ``FASTTRACE_*`` variables there are, so that a mistyped one is refused."""

from __future__ import annotations

from fasttrace.config.table import SETTINGS
from fasttrace.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Read elsewhere: by the core's dispatcher, by what `fasttrace run` starts, by setup.py and tools/peers.
_READ_ELSEWHERE = (
    "FASTTRACE_IMPL",
    "FASTTRACE_RUN_ANNOUNCE",
    "FASTTRACE_PEERS",
    "FASTTRACE_BUILD",
    "FASTTRACE_BUILD_TRACE",
    "FASTTRACE_BUILD_ANNOTATE",
    "FASTTRACE_BUILD_DEBUG",
    "FASTTRACE_BUILD_CFLAGS",
    "FASTTRACE_BUILD_LDFLAGS",
)
# What Kubernetes sets in every pod of a namespace that has a Service called fasttrace.
FROM_KUBERNETES = ("FASTTRACE_PORT", "FASTTRACE_SERVICE_HOST", "FASTTRACE_SERVICE_PORT")


def known_names() -> list[str]:
    """Every FASTTRACE_* variable that means something."""
    found = [variable for setting in SETTINGS for variable, _ in setting.variables if variable.startswith("FASTTRACE_")]
    return sorted({*found, *_READ_ELSEWHERE})


def check_names(environ: Mapping[str, str]) -> None:
    """Refuse a FASTTRACE_* variable that means nothing: it is a mistyped one."""
    known = known_names()
    for name in environ:
        if not name.startswith("FASTTRACE_") or name in known or name in FROM_KUBERNETES:
            continue
        if name.startswith(("FASTTRACE_PORT_", "FASTTRACE_SERVICE_PORT_")):
            continue
        import difflib

        prefix = len("FASTTRACE_")
        near = difflib.get_close_matches(name[prefix:], [item[prefix:] for item in known], 1, 0.6)
        hint = f"did you mean FASTTRACE_{near[0]}?" if near else f"known are {', '.join(known)}"
        raise ConfigurationError(f"{name} is no setting of fasttrace: {hint}")
