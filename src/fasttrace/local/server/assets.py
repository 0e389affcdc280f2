"""The page's files: read once, checked by ETag, and nothing else of the disk."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from starlette.responses import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from starlette.requests import Request

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INLINE = re.compile(rb"<script type=\"importmap\">(.*?)</script>", re.DOTALL)


class Assets:
    """Every file of ``fasttrace/local/web`` that a browser may ask for, by its path."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        self._read(files("fasttrace.local").joinpath("web"), "")
        self.csp: str = _policy(self._files["index.html"][0])

    def _read(self, folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            name = prefix + entry.name
            kind = TYPES.get("." + entry.name.rpartition(".")[2])
            if entry.is_dir():
                self._read(entry, name + "/")
            elif kind:
                content = entry.read_bytes()
                self._files[name] = (content, kind, f'"{sha256(content).hexdigest()[:32]}"')

    async def serve(self, request: Request) -> Response:
        """The file that the path names, ``index.html`` for ``/``; 304 when the browser has it."""
        found = self._files.get(request.path_params.get("path") or "index.html")
        if found is None:
            return Response("no such file\n", 404, media_type="text/plain")
        content, kind, etag = found
        headers = {"etag": etag, "cache-control": "no-cache"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers={**headers, "content-type": kind})


def _policy(page: bytes) -> str:
    """Scripts and styles from this server only; of what is inline, the import map by its hash."""
    hashes = [f"'sha256-{b64encode(sha256(text).digest()).decode()}'" for text in _INLINE.findall(page)]
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src 'self'", *hashes]),
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
