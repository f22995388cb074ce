"""
One reader of a cold object, over a storage node as fast as can be: how fast it comes, verified by the node and kept,
and what it costs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import socket
import sys
from pathlib import Path
from time import monotonic

from benchmarks.processes import MIB, CannotMeasure, Server, Usage, directory, forget_peaks
from benchmarks.report import Figures, Row, machine, show, version, write_results
from benchmarks.servers import nginx_storage, write_manifest
from benchmarks.shared_download import Start, candidates

ROWS = (
    Row("answers that were not whole, or not right", "failed", target=0, digits=0),
    Row("time until all is there, s", "took", digits=2),
    Row("MB/s", "rate", digits=0),
    Row("the same / what nginx takes (no more than 1.25)", "ofNginx", target=1.25, typical=True, digits=2),
    Row("processor time, s for each GiB", "cpuPerGiB", digits=2),
    Row("peak memory growth, MiB", "memoryMiB", digits=1),
)


def _read(server: Server, target: str, digest: bytes, size: int) -> tuple[float, bool]:
    """
    @return: how long it takes, in seconds; and whether what has come is right. The comparison is not in the time.
    """
    buffer = bytearray(size + 64 * 1024)
    view = memoryview(buffer)
    with socket.create_connection(server.address) as connection:
        began = monotonic()
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        got = 0
        while got < len(buffer) and (length := connection.recv_into(view[got : got + 4 * MIB])):
            got += length
        took_s = monotonic() - began
    head = buffer.find(b"\r\n\r\n") + 4
    right = got - head == size and hashlib.blake2b(view[head:got]).digest() == digest
    return took_s, right


def measure(start: Start, media: Path, digest: bytes, size: int) -> Figures:
    """
    One round with one server.
    """
    with (
        directory() as storage_directory,
        directory() as server_directory,
        nginx_storage(storage_directory, media) as storage,
    ):
        write_manifest(storage_directory / "manifest.yml", storage, media)
        with start(server_directory, storage, storage_directory) as server:
            forget_peaks(server)
            before = Usage.of(server)
            took_s, right = _read(server, "/api/v1/asset/1", digest, size)
            after = Usage.of(server)
    return {
        "failed": 0 if right else 1,
        "took": took_s,
        "rate": size / took_s / 1e6,
        "cpuPerGiB": (after.cpu_s - before.cpu_s) * 1024 * MIB / size,
        "memoryMiB": (after.peak - before.resident) / MIB,
    }


def main() -> int:
    """
    @return: the exit status: 1 where a target was missed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="of the object, MiB")
    parser.add_argument("--rounds", type=int, default=3, help="of each server, in turn")
    parser.add_argument("--output", type=Path, help="a file for every figure, JSON")
    arguments = parser.parse_args()
    where = machine()
    # Varnish keeps objects in memory, and slices are another kind of request.
    measured = {name: start for name, start in candidates().items() if name in ("distributor", "nginx")}
    if "nginx" not in measured:
        raise CannotMeasure("nginx is the storage node here: Debian has it in nginx-light")
    rounds: dict[str, list[Figures]] = {name: [] for name in measured}
    size = arguments.size * MIB
    with directory() as media:
        content = os.urandom(size)
        (media / "1").write_bytes(content)
        digest = hashlib.blake2b(content).digest()
        del content
        for number in range(arguments.rounds):
            found = {name: dict(measure(start, media, digest, size)) for name, start in measured.items()}
            for name, figures in found.items():
                figures["ofNginx"] = (figures["took"] or 0.0) / (found["nginx"]["took"] or 1.0)
                rounds[name].append(figures)
                print(f"round {number + 1}, {name}: {figures['took']:.2f} s", file=sys.stderr)
    if arguments.output is not None:
        settings = {"sizeMiB": arguments.size, "versions": {"nginx": version("nginx", "-v")}}
        write_results(arguments.output, where, settings, rounds)
    return 0 if show(ROWS, rounds) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotMeasure as error:
        sys.exit(str(error))
