"""
curl and aria2c against a node, over plain connections and over TLS: whole objects, ranges, resuming, crowds.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.integration.client import ask, program, run, settled, status
from tests.integration.media import MIB, folder
from tests.integration.process import LOOPBACK, PATIENCE_S, Node, ProcessTestCase, StorageNodeProcess
from tests.upstream import payload

#: What aria2c does for a shared machine's sake: no preallocation of files, no summaries.
_ARIA2 = ("--no-conf", "--file-allocation=none", "--summary-interval=0", "--auto-file-renaming=false", "--max-tries=1")

if TYPE_CHECKING:
    _Case = ProcessTestCase
else:
    # Else trial would run the tests of the mixin by themselves.
    _Case = object


class ClientTestsMixin(_Case):
    """
    What clients do, whatever the connection is.

    @ivar endpoint: where the node is to listen.
    @ivar curl: the beginning of a command.
    @ivar aria2: the same.
    """

    def setUp(self) -> None:
        self.endpoint = LOOPBACK
        self.curl: tuple[str, ...] = ("curl", "--silent", "--show-error", "--fail")
        self.aria2: tuple[str, ...] = ("aria2c", *_ARIA2)

    def serve(self, content: bytes, rate: int | None = None) -> None:
        """
        Start a node that serves C{content} as object 7, and a storage node that has it.
        """
        media = folder(self, {"7": content})
        self.file = media / "7"
        self.storage = StorageNodeProcess.start(self, media, rate=rate)
        self.node = Node.start(self, manifest=self.storage.manifest, listen=self.endpoint)
        self.url = f"{self.node.url}/api/v1/asset/7"
        self.here = self.directory()

    def asked_of_storage(self) -> tuple[int, int]:
        """
        How many requests the storage node got, and for how many bytes.
        """
        told = status(self, self.storage.url)
        return told["requests"], told["bytesAsked"]

    def assert_each_byte_once(self, content: bytes, cuts: int) -> None:
        """
        The storage node has sent every byte, and none twice, but for what was on its way when an answer was cut.
        """
        sent = status(self, self.storage.url)["bytesSent"]
        self.assertGreaterEqual(sent, len(content))
        # What a request that is cut may waste, and what the sender's own buffers hold.
        self.assertLessEqual(sent, len(content) + cuts * 4 * MIB)

    def download(self, *options: str, headers: str = "headers") -> bytes:
        """
        What curl gets, beside the headers.
        """
        done = run(*self.curl, "--dump-header", headers, *options, self.url, directory=self.here)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout

    def header(self, name: str) -> str | None:
        """
        A field of the headers that curl got last.
        """
        match = re.search(rf"^{name}: (.*)$", (self.here / "headers").read_text(), re.MULTILINE | re.IGNORECASE)
        return match[1].strip() if match is not None else None

    def test_whole(self) -> None:
        """
        curl gets a cold object whole, and the same bytes from the disk after that.
        """
        content = payload(3 * MIB + 1)
        self.serve(content)
        self.assertEqual(self.download(), content)
        self.assertEqual((self.header("X-Cache"), self.header("Content-Length")), ("miss", str(len(content))))
        self.assertEqual(self.download(), content)
        self.assertEqual(self.header("X-Cache"), "hit")
        self.assertEqual(self.asked_of_storage(), (1, len(content)))

    def test_ranges(self) -> None:
        """
        curl gets just the bytes that it asks for: of a cold object, and of one on disk.
        """
        content = payload(2 * MIB)
        self.serve(content)
        self.assertEqual(self.download("--range", "1000000-1000009"), content[1000000:1000010])
        self.assertEqual(self.header("Content-Range"), f"bytes 1000000-1000009/{len(content)}")
        self.assertEqual(self.download("--range", "-5"), content[-5:])
        self.assertEqual(self.download("--range", "2097151-"), content[-1:])
        self.assertEqual(self.header("X-Cache"), "hit")
        self.assert_each_byte_once(content, cuts=2)

    def test_resume(self) -> None:
        """
        C{curl -C -} goes on with a file that it has the beginning of, while the node still fetches the object, and
        after that.
        """
        content = payload(2 * MIB)
        self.serve(content, rate=2 * MIB)
        for name, present in (("cold", 700_000), ("cached", 2 * MIB - 1)):
            (self.here / name).write_bytes(content[:present])
            self.download("--continue-at", "-", "--output", name)
            self.assertEqual(self.header("Content-Range"), f"bytes {present}-{len(content) - 1}/{len(content)}")
            self.assertEqual((self.here / name).read_bytes(), content)
        self.assert_each_byte_once(content, cuts=1)

    def test_aria2(self) -> None:
        """
        aria2c gets 64 MiB right over eight connections: cold, for which the storage node is asked once; then cached.
        """
        content = payload(64 * MIB)
        checksum = hashlib.sha256(content).hexdigest()
        self.serve(content)
        for name in ("cold", "cached"):
            done = run(
                *self.aria2, "-x8", "-s8", "-k1M", f"--checksum=sha-256={checksum}", "--out", name, self.url,
                directory=self.here,
            )  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stdout.decode())
            self.assertEqual((self.here / name).read_bytes(), content, name)
            self.assert_each_byte_once(content, cuts=7)
        self.download("--range", "0-0")
        self.assertEqual(self.header("X-Cache"), "hit")

    def test_crowd(self) -> None:
        """
        Two hundred curls that ask for one cold object get it right, each of them, for one request upstream.
        """
        content = payload(4 * MIB)
        self.serve(content, rate=2 * MIB)
        cmp = program("cmp")
        command = [program(self.curl[0]), *self.curl[1:], "--max-time", str(PATIENCE_S), self.url]
        curls, comparisons = [], []
        for _ in range(200):
            curl = Popen(command, stdin=DEVNULL, stdout=PIPE)
            self.addCleanup(curl.wait)
            self.addCleanup(curl.kill)
            curls.append(curl)
            assert curl.stdout is not None
            with curl.stdout:
                comparison = Popen([cmp, "-", self.file], stdin=curl.stdout)
            self.addCleanup(comparison.wait)
            self.addCleanup(comparison.kill)
            comparisons.append(comparison)
        self.assertEqual([curl.wait(PATIENCE_S) for curl in curls], [0] * 200)
        self.assertEqual([comparison.wait(PATIENCE_S) for comparison in comparisons], [0] * 200)
        self.assertEqual(self.asked_of_storage(), (1, len(content)))


class PlainTests(ClientTestsMixin, ProcessTestCase):
    """
    Over plain connections, where the kernel copies from file to socket.
    """

    def test_readers_leave(self) -> None:
        """
        A reader that goes away harms no other; and when none is left, the download is brought to its end.
        """
        content = payload(4 * MIB)
        self.serve(content, rate=2 * MIB)
        first, second = ask(self, self.url), ask(self, self.url)
        first.read(1)
        first.close()
        self.assertEqual(second.read(2 * MIB), content[: 2 * MIB])
        second.close()
        self.assertEqual(settled(self, self.node.url)["objectsInCache"], 1)
        self.assertEqual(self.download(), content)
        self.assertEqual(self.header("X-Cache"), "hit")
        self.assertEqual(self.asked_of_storage(), (1, len(content)))


class TlsTests(ClientTestsMixin, ProcessTestCase):
    """
    Over TLS, where every byte is read and encrypted.
    """

    def setUp(self) -> None:
        super().setUp()
        directory = self.directory()
        certificate, key = directory / "certificate.pem", directory / "key.pem"
        _write_certificate(certificate, key)
        self.endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        self.curl += ("--cacert", str(certificate))
        self.aria2 += (f"--ca-certificate={certificate}",)

    def serve(self, content: bytes, rate: int | None = None) -> None:
        super().serve(content, rate)
        self.addCleanup(self.excuse_twisted)

    def excuse_twisted(self) -> None:
        """
        aria2c gives up connections in the middle of their handshake, which makes Twisted 26.10 log an IndexError
        (https://github.com/twisted/twisted/issues/12181) before it drops them. No other traceback is excused.
        """
        self.node.stop()
        excused = self.node.log().count("in _representsEOF\n")
        self.assertEqual(self.node.log().count("Traceback"), excused)
        self.node.traceback_expected = excused > 0


def _write_certificate(certificate: Path, key: Path) -> None:
    """
    Make a certificate for C{127.0.0.1} that vouches for itself, for an hour.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, SHA256())
    )
    certificate.write_bytes(built.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
