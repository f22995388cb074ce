"""
The servers that have everything in their caches.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.cases import KLEIN, NODE, OBJECTS
from benchmarks.processes import LOOPBACK, CannotMeasure, Server, directory, free_port
from benchmarks.servers import Tls, distributor, new_tls, storage_node, varnish

#: The configurations of which the best counts, each of them bad somewhere.
NGINX: Mapping[str, str] = {
    f"nginx nopush {nopush} chunk {chunk}": f"tcp_nopush {nopush}; sendfile_max_chunk {chunk};"
    for nopush in ("on", "off")
    for chunk in ("512k", "2m")
}

_NGINX_CONF = """
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
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    {options}
    server {{
        listen {host}:{port} backlog=1024{reuseport};
        listen {host}:{tls_port} ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {tls.certificate};
        ssl_certificate_key {tls.key};
        location /api/v1/asset/ {{ alias {media}/; }}
    }}
}}
"""


def nginx(directory: Path, media: Path, name: str, workers: int, tls: Tls) -> Server:
    """
    nginx that serves the folder C{media}.
    """
    port, tls_port = free_port(), free_port()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    text = _NGINX_CONF.format(
        user="user root;" if os.geteuid() == 0 else "",
        descriptors=hard,
        connections=min(hard // 2, 16384),
        options=NGINX[name],
        host=LOOPBACK,
        port=port,
        # Else most connections are one worker's.
        reuseport=" reuseport" if workers > 1 else "",
        workers=workers,
        tls_port=tls_port,
        tls=tls,
        media=media,
    )
    (directory / "nginx.conf").write_text(text, encoding="utf-8")
    return Server(name, ["nginx", "-p", directory, "-c", "nginx.conf"], port, directory, tls_port=tls_port)


def peer(directory: Path, media: Path, name: str, key: str) -> Server:
    """
    One of L{benchmarks.peers}.

    @param key: its name there.
    """
    port = free_port()
    arguments: list[str | Path] = [sys.executable, "-m", "benchmarks.peers", key, str(port), media]
    return Server(name, arguments, port, directory)


@contextmanager
def servers(media: Path, wanted: Callable[[str], bool], workers: int, *, pinned: bool) -> Iterator[dict[str, Server]]:
    """
    All that are wanted and installed, with everything in their caches.

    @param workers: processes of the node and of nginx; more than one, and the peers that have one are left out.
    @param pinned: give them all one processor, and the others to this process and what it starts from now on.
    """
    with ExitStack() as stack:

        def new_directory() -> Path:
            return stack.enter_context(directory())

        started: dict[str, Server] = {}
        storage_directory = new_directory()
        storage = stack.enter_context(storage_node(storage_directory, media))
        tls = new_tls(storage_directory)
        manifest = storage_directory / "manifest.yml"
        started[NODE] = stack.enter_context(distributor(new_directory(), manifest, workers=workers, tls=tls))
        for name in NGINX:
            if wanted(name) and shutil.which("nginx"):
                started[name] = stack.enter_context(nginx(new_directory(), media, name, workers, tls))
        if wanted("Varnish") and shutil.which("varnishd"):
            started["Varnish"] = stack.enter_context(varnish(new_directory(), storage))
        for name, key in (("static.File", "static"), (KLEIN, "klein")):
            if wanted(name) and workers == 1:
                started[name] = stack.enter_context(peer(new_directory(), media, name, key))
        for server in started.values():
            for object_id, size in OBJECTS.items():
                for _ in range(2):
                    status, body = server.get(f"/api/v1/asset/{object_id}")
                    if status != 200 or len(body) != size:
                        raise CannotMeasure(f"{server.name} answers {status} with {len(body)} of {size} bytes")
        if pinned:
            processors = os.sched_getaffinity(0)
            first = min(processors)
            for server in started.values():
                server.pin({first})
            os.sched_setaffinity(0, processors - {first} or processors)
            stack.callback(os.sched_setaffinity, 0, processors)
        yield started
