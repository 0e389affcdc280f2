"""OTLP/JSON in a file, one ``TracesData`` object a line (OpenTelemetry, "OTLP File Exporter")."""

from __future__ import annotations

import os

from fasttrace.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.export.base import Batch


class JSONLinesExporter:
    """Appends a line for each batch to ``path``, which is made with mode 0600.

    A line is written by one call, so that several processes may share the file. Raises
    ConfigurationError for a path that can't be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: str = os.fspath(path)
        try:
            os.close(self._open())
        except OSError as error:
            raise ConfigurationError(
                f"path={self.path!r} can't be written ({error.strerror}): "
                "name a file in a folder that exists and is yours"
            ) from None

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)

    def prepare(self) -> None:
        """Import what a line needs."""
        import json  # noqa: F401

        from fasttrace.export import otlp_json  # noqa: F401

    def export(self, batch: Batch) -> None:
        """Append one line."""
        import json

        from fasttrace.export.otlp_json import to_otlp_json

        data = (json.dumps(to_otlp_json(batch), ensure_ascii=False, separators=(",", ":")) + "\n").encode()
        descriptor = self._open()
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)

    def flush(self, timeout: float) -> bool:
        """Every line is written at once."""
        return True

    def shutdown(self, timeout: float) -> None:
        """The file is open while it is written only."""
