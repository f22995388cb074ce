"""
Telling systemd how the service stands: the protocol of C{sd_notify(3)}, for units of C{Type=notify}.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from twisted.logger import Logger

_log = Logger()

#: The node accepts connections; also what ends a reload.
READY = "READY=1"
#: The configuration is being read again.
RELOADING = "RELOADING=1"
#: The node has begun to stop, and drains.
STOPPING = "STOPPING=1"


def notify(message: str, environ: Mapping[str, str]) -> None:
    """
    Send C{message} to the supervisor that C{$NOTIFY_SOCKET} names. Without one, nothing happens.

    It never blocks, and never raises for what the supervisor does: a node that serves must not stop serving because
    of that. What went wrong is logged, since a supervisor that hears nothing will end the node after its time-out.

    @param message: C{NAME=VALUE}, or several, one on a line.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address[0] not in "/@":
        _log.warn("NOTIFY_SOCKET is neither a path nor an abstract address: {address}", address=address)
        return
    if address[0] == "@":
        # How the environment spells the NUL byte that begins an abstract address.
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(message.encode("utf-8"), address)
    except OSError as error:
        _log.warn("systemd was not told {told}: {error}", told=message, error=error)
