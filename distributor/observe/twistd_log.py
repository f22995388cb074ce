"""
What twistd logs to by itself, so that less can be sent there than everything.

twistd takes its observer from the application, where there is one (L{twisted.application.app.AppLogger}), and does then
not look at its own options: this does.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import ILogObserver, LegacyLogObserverWrapper, Logger, textFileLogObserver
from twisted.python.logfile import LogFile
from twisted.python.syslog import SyslogObserver

from distributor.observe.levels import at_least

_log = Logger()


def twistd_log(
    level: str | None, options: Mapping[str, Any] | None, in_reactor: Callable[[Callable[[], object]], object]
) -> ILogObserver | None:
    """
    What twistd is to log to, so that it gets what is as severe as C{level}: what C{--syslog}, C{--logfile} and
    C{--nodaemon} ask for, which this opens.

    @param level: one of L{distributor.observe.levels.LEVELS}, or C{off}; L{None}: everything.
    @param options: twistd's own; L{None}: they are not known.
    @param in_reactor: calls a function in the reactor's thread, soon; safe in a signal handler.
    @return: L{None}: what twistd takes by itself.
    """
    if level is None:
        return None
    # --logger goes before any observer of the application; and a daemon that is to log to stdout is refused by twistd.
    if options is None or options.get("logger") or (options["logfile"] == "-" and not options["nodaemon"]):
        _log.warn("logs.console.level has no effect: twistd logs to what it alone knows")
        return None
    if options["syslog"]:
        return at_least(level, LegacyLogObserverWrapper(SyslogObserver(options["prefix"]).emit))  # type: ignore[arg-type]
    if options["nodaemon"] and options["logfile"] in (None, "", "-"):
        return at_least(level, textFileLogObserver(sys.stdout))
    file = LogFile.fromFullPath(options["logfile"] or "twistd.log")
    # A new file on SIGUSR1, as twistd does it: without a handler, the signal would end the process.
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda *_: in_reactor(file.rotate))
    return at_least(level, textFileLogObserver(file))
