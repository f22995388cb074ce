"""
The configuration: one file, Argus' or ours, and the environment, read into one frozen value, and checked as a whole.

L{keys} is the table of all there is; L{environment} reads what overrides the file; L{layers} puts both together, and
L{checks} looks at the whole; L{load} makes L{Config} of it, and L{effective} shows it. Nothing below imports this room:
L{distributor.service} hands the values on.
"""

from distributor.config.effective import effective, report
from distributor.config.keys import KEYS
from distributor.config.kinds import parse_size
from distributor.config.load import (
    ConfigError,
    configured_by,
    find_config,
    load_config,
    parse_config,
    standalone_config,
    with_port,
    with_workers,
)
from distributor.config.locations import Directories, directories
from distributor.config.values import (
    Catalogue,
    Config,
    ConfiguredDirectories,
    Effective,
    Endpoints,
    Intervals,
    Limits,
    LogFiles,
    Logs,
    OperatorAPI,
    PublicAPI,
    Sources,
)

__all__ = [
    "KEYS",
    "Catalogue",
    "Config",
    "ConfigError",
    "ConfiguredDirectories",
    "Directories",
    "Effective",
    "Endpoints",
    "Intervals",
    "Limits",
    "LogFiles",
    "Logs",
    "OperatorAPI",
    "PublicAPI",
    "Sources",
    "configured_by",
    "directories",
    "effective",
    "find_config",
    "load_config",
    "parse_config",
    "parse_size",
    "report",
    "standalone_config",
    "with_port",
    "with_workers",
]
