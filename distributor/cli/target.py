"""
Where the operator's API of a node is, and the secret that it goes by: from the command line, the environment, and the
configuration that the node itself starts with.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from attrs import field, frozen

from distributor.config import Config, OperatorAPI, configured_by, find_config, load_config, standalone_config
from distributor.model import DistributorError

#: The variable that overrides C{operatorApi.hmacSecret}, and the one that names a file with it.
SECRET_VARIABLE = "JOYSTREAM_DISTRIBUTOR__OPERATOR_API__HMAC_SECRET"
SECRET_FILE_VARIABLE = SECRET_VARIABLE + "_FILE"

#: How a node is reached that listens on all addresses.
_ITSELF = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


class NoTarget(DistributorError):
    """It cannot be told which node is meant, or how to sign what it is asked."""


@frozen(kw_only=True)
class Asked:
    """
    What the command line says of it.

    @ivar secret_file: a path; C{-} is the standard input.
    """

    config: str | None = None
    url: str | None = None
    secret: str | None = field(default=None, repr=False)
    secret_file: str | None = None


@frozen(kw_only=True)
class Target:
    """
    Where to ask.

    @ivar prefix: what a proxy in front of the node strips from the path; no slash at its end.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""
    secret: str = field(repr=False)

    @property
    def url(self) -> str:
        """
        For people.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


def find_target(asked: Asked, environ: Mapping[str, str], cwd: Path) -> Target:
    """
    What is on the command line comes first, then the environment, then the file. The configuration is not looked at
    where it is not needed: who asks a node elsewhere may have none.

    @raise NoTarget: something is missing, or cannot be.
    @raise ConfigError: the configuration is wrong.
    """
    secret = _secret(asked, environ, cwd)
    if asked.url is not None and secret is not None:
        return _at(asked.url, secret)
    api = _configured(asked, environ, cwd)
    if asked.url is None:
        return _on_this_machine(api, secret or api.hmac_secret)
    return _at(asked.url, api.hmac_secret)


def _secret(asked: Asked, environ: Mapping[str, str], cwd: Path) -> str | None:
    if asked.secret is not None and asked.secret_file is not None:
        raise NoTarget("--secret and --secret-file exclude each other")
    if asked.secret is not None:
        return _not_empty(asked.secret, "--secret")
    if asked.secret_file is not None:
        return _read(asked.secret_file, cwd, "--secret-file")
    if environ.get(SECRET_VARIABLE):
        return environ[SECRET_VARIABLE]
    if environ.get(SECRET_FILE_VARIABLE):
        return _read(environ[SECRET_FILE_VARIABLE], cwd, SECRET_FILE_VARIABLE)
    return None


def _read(file: str, cwd: Path, origin: str) -> str:
    try:
        content = sys.stdin.read() if file == "-" else (cwd / file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise NoTarget(f"{origin}: {file}: {reason}") from None
    return _not_empty(content.removesuffix("\n").removesuffix("\r"), f"{origin}: {file}")


def _not_empty(secret: str, origin: str) -> str:
    if not secret:
        raise NoTarget(f"{origin}: is empty")
    return secret


def configuration(option: str | None, environ: Mapping[str, str], cwd: Path) -> Config:
    """
    The configuration of the node: the same file and variables as C{twistd distributor} takes.

    @raise ConfigError: it is wrong.
    """
    path = find_config(option, environ, cwd)
    if path is None and not configured_by(environ):
        return standalone_config(environ, cwd)
    return load_config(path, environ, cwd)


def _configured(asked: Asked, environ: Mapping[str, str], cwd: Path) -> OperatorAPI:
    missing = "--secret-file" if asked.url is not None else "--url and --secret-file"
    api = configuration(asked.config, environ, cwd).operator_api
    if api is not None:
        return api
    if find_config(asked.config, environ, cwd) is None:
        raise NoTarget(f"there is no configuration file: give --config, or {missing}")
    raise NoTarget(f"operatorApi.port is not configured, so the node has no operator's API (or give {missing})")


def _on_this_machine(api: OperatorAPI, secret: str) -> Target:
    if api.port == 0:
        raise NoTarget("operatorApi.port is 0, which is another port at each start: give --url")
    return Target(scheme="http", host=_ITSELF.get(api.host, api.host), port=api.port, secret=secret)


def _at(url: str, secret: str) -> Target:
    def unfit(problem: str) -> NoTarget:
        return NoTarget(f"--url: {problem}: expected such as http://127.0.0.1:3335")

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise unfit(str(error)) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise unfit("is not the URL of a node")
    if parts.username is not None or parts.query or parts.fragment:
        raise unfit("has more than a host, a port and a path")
    if not parts.path.isascii() or not parts.path.isprintable() or " " in parts.path:
        raise unfit("the path has to be percent-encoded")
    # Who copies the address of a call has the beginning that all of them share.
    prefix = parts.path.rstrip("/").removesuffix("/api/v1")
    usual = 443 if parts.scheme == "https" else 80
    return Target(
        scheme=parts.scheme, host=parts.hostname, port=usual if port is None else port, prefix=prefix, secret=secret
    )
