"""
Why a node does not start, in words for the operator.
"""

from __future__ import annotations

import os

from twisted.internet.error import CannotListenError


class CannotStart(SystemExit, Exception):
    """
    The node cannot serve, for a reason that the operator can mend: one line on stderr, and exit status 1.

    It is an C{Exception}, too, for the sake of C{twistd}, which passes those on from its daemon to the terminal.
    """


def why(error: Exception) -> str:
    """
    What went wrong at the start, in words for the operator.
    """
    if isinstance(error, CannotListenError):
        # The second is the path of a UNIX socket.
        port = f"{error.interface or 'any'}:{error.port}" if isinstance(error.port, int) else os.fsdecode(error.port)
        return f"cannot listen on {port}: {error.socketError}"
    if isinstance(error, OSError) and error.filename is not None:
        # Where two paths are involved, the first may be what a symbolic link, the lock of a UNIX socket, says.
        return f"{os.fsdecode(error.filename2 or error.filename)}: {error.strerror}"
    return str(error)
