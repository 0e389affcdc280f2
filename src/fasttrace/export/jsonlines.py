"""OTLP/JSON in a file, one ``TracesData`` object a line (OpenTelemetry, "OTLP File Exporter")."""

from __future__ import annotations

import os
import stat

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
        # Wherever the process goes later: daemons leave for /.
        self.path: str = os.path.abspath(path)
        try:
            descriptor = self._open()
        except OSError as error:
            raise ConfigurationError(
                f"path={self.path!r} can't be written ({error.strerror}): "
                "name a file in a folder that exists and is yours"
            ) from None
        # Where a line was cut short by a full disk or its writer's death. If nothing has been added since, it gets an
        # end before the next line, which would go with it otherwise.
        self._torn_bytes: int | None = self._torn(descriptor)
        os.close(descriptor)

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
            if self._torn_bytes is not None and os.fstat(descriptor).st_size == self._torn_bytes:
                data = b"\n" + data
            self._torn_bytes = None
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:
            self._torn_bytes = self._torn(descriptor)
            raise
        finally:
            os.close(descriptor)

    def _torn(self, descriptor: int) -> int | None:
        """The size of a file whose last line has no end; None for one that ends well, or is no file of lines."""
        try:
            status = os.fstat(descriptor)
            if not status.st_size or not stat.S_ISREG(status.st_mode):
                return None
            with open(self.path, "rb", buffering=0) as file:
                file.seek(status.st_size - 1)
                return None if file.read(1) == b"\n" else status.st_size
        except OSError:  # it may be written only
            return None

    def flush(self, timeout: float) -> bool:
        """Every line is written at once."""
        return True

    def shutdown(self, timeout: float) -> None:
        """The file is open while it is written only."""
