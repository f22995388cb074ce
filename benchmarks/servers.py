"""
The servers that are measured, and the storage node behind them: how each is configured and started.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.processes import LOOPBACK, Server, free_port
from distributor.devnet import media_in
from distributor.devnet.folder import data_objects
from distributor.devnet.manifest import manifest_text


def _twistd(*arguments: str | Path, python: Sequence[str] = ()) -> list[str | Path]:
    return [
        sys.executable,
        *python,
        "-c",
        "from twisted.scripts.twistd import run; run()",
        "-n",
        "--pidfile=",
        *arguments,
    ]


@frozen
class Tls:
    """
    The files of a key and of a certificate.
    """

    key: Path
    certificate: Path


def new_tls(directory: Path) -> Tls:
    """
    A key, and a certificate that nobody trusts.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    tls = Tls(directory / "key.pem", directory / "certificate.pem")
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    tls.key.write_bytes(key.private_bytes(pem, kind, serialization.NoEncryption()))
    tls.certificate.write_bytes(certificate.public_bytes(pem))
    return tls


def storage_node(directory: Path, media: Path, rate: int | None = None, delay_ms: int = 0) -> Server:
    """
    C{twistd storage-node} over the folder C{media}; its manifest is C{directory / "manifest.yml"}.

    @param rate: bytes per second in all.
    @param delay_ms: how long it is silent before each answer.
    """
    port = free_port()
    options: list[str | Path] = ["--port", str(port), "--media", media, "--manifest", "manifest.yml"]
    options += ["--delay", str(delay_ms)]
    if rate is not None:
        options += ["--rate", str(rate)]
    return Server("storage node", _twistd("storage-node", *options), port, directory, "/api/v1/version")


def distributor(
    directory: Path,
    manifest: Path,
    ready: str = "/readyz",
    *,
    workers: int = 1,
    tls: Tls | None = None,
    limits: Mapping[str, object] | None = None,
    python: Sequence[str] = (),
) -> Server:
    """
    C{twistd distributor}; it keeps what it has in C{directory / "data"}.

    @param ready: what to ask it for, to see that it serves.
    @param tls: listen with it, too.
    @param limits: C{limits} of the configuration.
    @param python: options of the interpreter.
    """
    port = free_port()
    tls_port = free_port() if tls is not None else None
    config = directory / "config.yml"
    text = f"id: bench\ncatalogue: {{manifest: {manifest}}}\nlimits: {json.dumps(dict(limits or {}))}\n"
    config.write_text(text, encoding="utf-8")
    # Twisted's default of 50 makes most of a thousand wait for a second or more; nginx has 511, Varnish 1024.
    there = f"interface={LOOPBACK}:backlog=1024"
    listen = ["--listen", f"tcp:{port}:{there}"]
    if tls is not None:
        listen += ["--listen", f"ssl:{tls_port}:privateKey={tls.key}:certKey={tls.certificate}:{there}"]
    options: list[str | Path] = ["--config", config, "--data-dir", directory / "data", "--workers", str(workers)]
    command = _twistd("distributor", *listen, *options, python=python)
    return Server("distributor", command, port, directory, ready, tls_port)


_NGINX = """
daemon off;
pid nginx.pid;
error_log stderr warn;
{user}
worker_processes {workers};
worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {http}
    server {{
        listen {host}:{port} reuseport;
        {server}
    }}
}}
"""

_NGINX_STATIC = """
        location /api/v1/asset/ {{ alias {media}/; }}
"""

_NGINX_STORAGE = """
        location /api/v1/files/ {{ alias {media}/; }}
"""

_NGINX_CACHE = """
    proxy_cache_path cache levels=1:2 keys_zone=assets:8m max_size=20g use_temp_path=off;
"""

_NGINX_PROXY = """
        location /api/v1/asset/ {{
            proxy_pass http://{host}:{upstream}/api/v1/files/;
            proxy_http_version 1.1;
            proxy_cache assets;
            proxy_cache_valid 200 206 1h;
            proxy_cache_lock on;
            proxy_cache_lock_timeout 1h;
            proxy_cache_lock_age 1h;
            {more}
        }}
"""

# A reader holds the descriptor of every slice until it has the last one: 64,000 for a thousand readers of 64 MiB, which
# is more than most systems let two processes have.
_SLICE_WORKERS = 8

_NGINX_SLICE = """
            slice 1m;
            proxy_cache_key $uri$slice_range;
            proxy_set_header Range $slice_range;
"""


def _nginx(name: str, directory: Path, server: str, http: str = "", workers: str | int = "auto") -> Server:
    port = free_port()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    text = _NGINX.format(
        # Its workers would not be allowed into a temporary directory of root's.
        user="user root;" if os.geteuid() == 0 else "",
        workers=workers,
        descriptors=hard,
        connections=hard // 2,
        host=LOOPBACK,
        port=port,
        http=http,
        server=server,
    )
    (directory / "nginx.conf").write_text(text, encoding="utf-8")
    return Server(name, ["nginx", "-p", directory, "-c", "nginx.conf"], port, directory)


def nginx_static(directory: Path, media: Path) -> Server:
    """
    nginx that serves the folder C{media}.
    """
    return _nginx("nginx static", directory, _NGINX_STATIC.format(media=media))


def nginx_storage(directory: Path, media: Path) -> Server:
    """
    nginx in the place of a storage node, for one that is as fast as can be.
    """
    return _nginx("nginx as a storage node", directory, _NGINX_STORAGE.format(media=media))


def write_manifest(path: Path, storage: Server, media: Path) -> None:
    """
    A manifest of the folder C{media} at C{storage}. Every file is hashed for it.
    """
    objects = data_objects(media_in(media))
    path.write_text(manifest_text(f"http://{LOOPBACK}:{storage.port}/", objects), encoding="utf-8")


def nginx_cache(directory: Path, upstream: Server, *, slices: bool) -> Server:
    """
    nginx that caches what C{upstream} gives, one request at a time for one key.

    @param slices: ask for, and keep, runs of 1 MiB instead of whole objects.
    """
    more = _NGINX_SLICE if slices else ""
    proxy = _NGINX_PROXY.format(host=LOOPBACK, upstream=upstream.port, more=more)
    if not slices:
        return _nginx("nginx", directory, proxy, _NGINX_CACHE)
    return _nginx("nginx slice 1m", directory, proxy, _NGINX_CACHE, _SLICE_WORKERS)


_VARNISH = """
vcl 4.1;
backend storage {{ .host = "{host}"; .port = "{port}"; }}
sub vcl_recv {{ set req.url = regsub(req.url, "^/api/v1/asset/", "/api/v1/files/"); return (hash); }}
sub vcl_backend_response {{ set beresp.ttl = 1h; set beresp.do_stream = true; }}
"""


def varnish(directory: Path, upstream: Server) -> Server:
    """
    Varnish that caches what C{upstream} gives, in its memory: that is where objects are with Varnish.
    """
    port = free_port()
    (directory / "cache.vcl").write_text(_VARNISH.format(host=LOOPBACK, port=upstream.port), encoding="utf-8")
    arguments: list[str | Path] = [
        "varnishd",
        "-F",
        "-j",
        "none",
        "-n",
        directory / "state",
        "-f",
        directory / "cache.vcl",
    ]
    arguments += ["-a", f"{LOOPBACK}:{port}", "-s", "malloc,1g"]
    return Server("Varnish", arguments, port, directory, "/api/v1/asset/none")


#: The program of each peer, and Debian's package that brings it.
PACKAGES: Mapping[str, str] = {"nginx": "nginx-light", "wrk": "wrk", "varnishd": "varnish"}


def installed(*programs: str) -> set[str]:
    """
    Those of the programs that are there. Says which packages bring the others.
    """
    there = {program for program in programs if shutil.which(program) is not None}
    missing = [PACKAGES[program] for program in programs if program not in there]
    if missing:
        print(f"Going on without a peer that is not installed; Debian has it in: {' '.join(missing)}", file=sys.stderr)
    return there
