"""Which processes of ours there are, and at which addresses they listen, as Linux tells in /proc."""

from __future__ import annotations

import ipaddress
import os
import re
import struct
from pathlib import Path

_LISTENING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}


def marked(variable: str, value: str) -> dict[int, str]:
    """The live processes with a variable in their environment that had this value when they began: id and command line."""
    wanted = f"{variable}={value}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended, or is another user's
            continue
    return found


def beyond_loopback(processes: dict[int, str]) -> list[str]:
    """Where these processes listen on anything but the loopback: address, port and command line of each."""
    owners = {inode: command for pid, command in processes.items() for inode in _sockets(pid)}
    found = []
    for table, listening in _LISTENING.items():
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            address, port = words[1].split(":")
            where = _address(address)
            if words[3] == listening and words[9] in owners and not where.is_loopback:
                found.append(f"{table} {where}:{int(port, 16)} {owners[words[9]]}")
    return found


def _sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    try:
        for entry in os.listdir(f"/proc/{pid}/fd"):
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{entry}"))
            if match:
                found.add(match[1])
    except OSError:  # it ended, or closed one
        pass
    return found


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address of /proc/net: words in hexadecimal, each in the machine's byte order."""
    raw = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    if len(raw) == 4:
        return ipaddress.IPv4Address(raw)
    found = ipaddress.IPv6Address(raw)
    return found.ipv4_mapped or found
