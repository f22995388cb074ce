"""
Where the node keeps things: what the configuration names, else what systemd has made, else beside one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from distributor.config.values import Config


@frozen(kw_only=True)
class Directories:
    """
    Where the node keeps things; they may not exist yet.

    @ivar origins: by the key of the configuration, where a directory came from that the configuration does not name.
    """

    assets: Path
    cache_state: Path
    origins: Mapping[str, str] = field(factory=dict, eq=False)


def directories(config: Config, environ: Mapping[str, str], data_dir: Path) -> Directories:
    """
    The directories that the file names, else those that systemd made (C{$CACHE_DIRECTORY}, C{$STATE_DIRECTORY}; the
    first, where systemd.exec(5) puts several with colons between), else C{assets/} and C{state/} in C{data_dir}.
    """
    origins: dict[str, str] = {}

    def choose(key: str, configured: Path | None, variable: str, name: str) -> Path:
        if configured is not None:
            return configured
        made = environ.get(variable, "").partition(":")[0]
        origins[key] = f"${variable}" if made else "--data-dir"
        return Path(made) if made else data_dir / name

    assets = choose("directories.assets", config.directories.assets, "CACHE_DIRECTORY", "assets")
    cache_state = choose("directories.cacheState", config.directories.cache_state, "STATE_DIRECTORY", "state")
    return Directories(assets=assets, cache_state=cache_state, origins=origins)
