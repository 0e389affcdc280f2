"""The index's file: opened, made, and made anew when it is damaged or has been deleted."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from pathlib import Path

from fasttrace.errors import SpoolError
from fasttrace.local.index.schema import TABLES, VERSION

NAME = f"index-{VERSION}.sqlite"
BUSY_SECONDS = 60.0
CACHE_KIB = 32 * 1024
# Another version of fasttrace may be at work on an index of its own; one that nobody used for so long goes.
UNUSED_SECONDS = 86400.0
# Larger than SQLite's own: while much is read in, the same pages change again and again.
CHECKPOINT_PAGES = 8192


class IndexUnusable(SpoolError):
    """The index can't be read or written; the text says what to do."""


def connect(directory: Path) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
    """A connection, and the device and inode of its file.

    Where there is no folder, or none that we may write, the index is a file that vanishes with the connection.
    """
    path = directory / NAME
    inode = _prepare(path)
    if inode is None:
        return _open(""), None
    _delete_old_versions(directory)
    try:
        return _open(str(path)), inode
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise unusable(directory, error) from None
    delete(directory)
    inode = _prepare(path)
    return _open(str(path)), inode


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that the file is not what it should be, which making it anew cures."""
    return not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)


def unusable(directory: Path, error: sqlite3.Error) -> IndexUnusable:
    """What to do about an error that stays."""
    if "locked" in str(error):
        return IndexUnusable(
            f"{directory / NAME} was in use for {BUSY_SECONDS:.0f} s: another command is at work on it"
        )
    return IndexUnusable(f"{directory / NAME} can't be used ({error}): make room, or delete it, nothing is lost")


def _prepare(path: Path) -> tuple[int, int] | None:
    """See that there is a file of ours, mode 0600; None where there can be none."""
    if not _can_hold_files(path.parent):
        return None  # nor could SQLite put its own beside one that is there
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return (status.st_dev, status.st_ino) if _is_ours(status) else None


def _can_hold_files(directory: Path) -> bool:
    return os.access(directory, os.W_OK | os.X_OK)


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and (os.name == "nt" or status.st_uid == os.geteuid())


def is_current(directory: Path, inode: tuple[int, int] | None) -> bool:
    """Whether the open file is still the one of that name.

    Without an inode, which is of a file that nobody else sees: whether there can still be no other.
    """
    path = directory / NAME
    try:
        status = os.lstat(path)
    except OSError:
        return inode is None and not _can_hold_files(directory)
    if inode is None:
        return not (_can_hold_files(directory) and _is_ours(status) and os.access(path, os.R_OK | os.W_OK))
    return (status.st_dev, status.st_ino) == inode


def delete(directory: Path) -> None:
    """Delete the file; SQLite leaves the files beside it alone when somebody else has the deleted one open."""
    _delete(directory / NAME)


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")


def _delete_old_versions(directory: Path) -> None:
    for path in directory.glob("index-*.sqlite"):
        number = path.stem.removeprefix("index-")
        if number.isascii() and number.isdigit() and int(number) < VERSION and _is_unused(path):
            _delete(path)


def _is_unused(path: Path) -> bool:
    """Whether an index is ours, was not written for a day, and nobody has it open."""
    try:
        if not _is_ours(os.lstat(path)) or time.time() - _last_use(path) < UNUSED_SECONDS:
            return False
        database = sqlite3.connect(path, timeout=0, isolation_level=None)
    except (OSError, sqlite3.Error):
        return False
    try:
        # SQLite leaves this mode only where there is no other connection, and holds on to it.
        database.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as error:
        return is_damage(error)
    finally:
        database.close()
    return True


def _last_use(path: Path) -> float:
    """When a database or a file that SQLite has put beside it was written last, in seconds since 1970."""
    found = [os.lstat(path).st_mtime]
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.lstat(f"{path}{suffix}").st_mtime)
    return max(found)


def _open(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA auto_vacuum=INCREMENTAL")
        database.execute("PRAGMA journal_mode=WAL")
        # A crash of the machine may cost the index, never a span.
        database.execute("PRAGMA synchronous=OFF")
        database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        database.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        database.execute("PRAGMA temp_store=MEMORY")
        # The folder may be one that others can write.
        database.execute("PRAGMA trusted_schema=OFF")
        database.execute("CREATE TEMP TABLE touched (id INTEGER PRIMARY KEY)")
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            database.execute("BEGIN IMMEDIATE")
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                for statement in TABLES.split(";"):
                    database.execute(statement)
            database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database
