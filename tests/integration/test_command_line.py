"""
C{twistd distributor} and C{twistd storage-node} as an operator meets them: what is refused, and how that is said; where
things are found; as a daemon; under a supervisor.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from select import select

from twisted.trial.unittest import SkipTest

from tests.integration.client import ask, get, run, status
from tests.integration.media import folder, manifest
from tests.integration.process import (
    PATIENCE_S,
    ROOT,
    Node,
    Process,
    ProcessTestCase,
    command,
    environment,
    run_to_end,
)

PREFIX = "JOYSTREAM_DISTRIBUTOR__"
CONTENTS = {"7": b"seven", "8": b"eight"}


def taken_port(case: ProcessTestCase) -> int:
    """
    A port of the loopback interface that somebody listens on.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    case.addCleanup(listening.close)
    port: int = listening.getsockname()[1]
    return port


class RefusalTests(ProcessTestCase):
    """
    What cannot be done is one line on stderr, exit status 1, and no traceback.
    """

    def assert_refused(
        self, expected: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """
        Run C{twistd -n}, and look for the line C{expected}, a regular expression.
        """
        done = run_to_end(self, *arguments, env=env, cwd=cwd)
        self.assertRegex(done.stderr, rf"\A{arguments[0]}: {expected}\n\Z")
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("Traceback", done.stdout)

    def config(self, **values: object) -> Path:
        """
        A configuration file with a manifest beside it.
        """
        path = manifest(self, ["http://127.0.0.1:1/"], CONTENTS).with_name("c.yml")
        path.write_text(json.dumps({"id": "me", "catalogue": {"manifest": "manifest.json"}, **values}))
        return path

    def test_options(self) -> None:
        """
        Options that do not exist, or make no sense.
        """
        self.assert_refused("option --nope not recognized", "distributor", "--nope")
        self.assert_refused(".*'x'", "distributor", "--port", "x")
        self.assert_refused("--port 70000: .*", "distributor", "--port", "70000")
        self.assert_refused("Wrong number of arguments.", "distributor", "more")
        self.assert_refused("--port and --listen exclude each other", "distributor", "--port", "0", "--listen", "tcp:0")
        self.assert_refused("--listen nope:1: Unknown endpoint type: 'nope'", "distributor", "--listen", "nope:1")
        self.assert_refused("--listen ssl:0: .*server.pem.*", "distributor", "--listen", "ssl:0")

    def test_configuration(self) -> None:
        """
        A file that is not there, an unknown key, and a manifest that is wrong or not there: each is named.
        """
        self.assert_refused(".*/nope.yml: cannot be read: No such file or directory", "distributor", "-c", "nope.yml")
        self.assert_refused(".*/nope: cannot be read: .*", "distributor", env={"CONFIG_PATH": "nope"})
        path = self.config(limits={"storag": "1G"})
        expected = rf"{path}: limits.storag: unknown key, did you mean limits.storage\?"
        self.assert_refused(expected, "distributor", "--config", path)
        path = self.config()
        listed = path.with_name("manifest.json")
        listed.write_text(listed.read_text().replace('"size": 5', '"size": -5', 1))
        expected = rf'{listed}: objects\."7"\.size: must be a non-negative integer'
        self.assert_refused(expected, "distributor", "--config", path)
        listed.unlink()
        self.assert_refused(f"{listed}: cannot be read: .*", "distributor", "--config", path)

    def test_environment(self) -> None:
        """
        A variable that is wrong is named, and so is a file that it names.
        """
        path = self.config()
        for name, value, expected in (
            ("PUBLIC_API__PORT", "eighty", "publicApi.port: must be an integer from 0 to 65535"),
            ("KEYS_FILE", "/nope", "/nope: cannot be read: No such file or directory"),
        ):
            self.assert_refused(
                f"{PREFIX}{name}: {expected}", "distributor", "-c", path, env={f"{PREFIX}{name}": value}
            )
        env = {f"{PREFIX}LOGS__FILE__PATH": "/dev/null/logs"}
        self.assert_refused(".*/dev/null.*", "distributor", "--port", "0", env=env)

    def test_port_in_use(self) -> None:
        """
        A port or a socket that is in use; where another one could be listened on, too.
        """
        port = taken_port(self)
        expected = rf"cannot listen on 127.0.0.1:{port}: \[Errno 98\] Address already in use"
        self.assert_refused(expected, "distributor", "--port", str(port))
        listen = ("--listen", "tcp:0:interface=127.0.0.1", "--listen", f"tcp:{port}:interface=127.0.0.1")
        self.assert_refused(expected, "distributor", *listen)
        path = _short_directory(self) / "s"
        Node.start(self, listen=f"unix:{path}")
        self.assert_refused(f"cannot listen on {path}: .*", "distributor", "--listen", f"unix:{path}")
        self.assert_refused("/nope/s.lock: No such file or directory", "distributor", "--listen", "unix:/nope/s")

    def test_directory_in_use(self) -> None:
        """
        A second node on the same directory; the first one serves on.
        """
        node = Node.start(self)
        expected = f"directory {node.data_dir}/assets is in use by another distributor"
        self.assert_refused(expected, "distributor", "--port", "0", "--data-dir", node.data_dir)
        self.assertEqual(ask(self, f"{node.url}/api/v1/asset/5").status, 200)
        # The first directory alone is not enough to have both.
        path = self.config(directories={"assets": "mine", "cacheState": str(node.data_dir / "state")})
        expected = f"directory {node.data_dir}/state is in use by another distributor"
        self.assert_refused(expected, "distributor", "--port", "0", "--config", path)

    def test_directory_cannot_be_made(self) -> None:
        """
        A directory below a file.
        """
        cwd = self.directory()
        (cwd / "file").touch()
        expected = f"directory {cwd}/file/data/assets cannot be made: Not a directory"
        self.assert_refused(expected, "distributor", "--port", "0", "--data-dir", "file/data", cwd=cwd)

    def test_directory_not_writable(self) -> None:
        """
        A directory that is there, on a file system that only can be read.
        """
        cwd = self.directory()
        for name in ("assets/.partial", "state"):
            (cwd / name).mkdir(parents=True)
        # For root, whom permissions do not stop.
        for options in (("--bind",), ("-o", "remount,bind,ro")):
            done = run("mount", *options, cwd, cwd, directory=Path("/"))
            if done.returncode != 0:
                raise SkipTest(f"mounting is not permitted: {done.stderr.decode().strip()}")
            if options == ("--bind",):
                self.addCleanup(run, "umount", cwd, directory=Path("/"))
        expected = f"directory {cwd}/assets is not writable"
        self.assert_refused(expected, "distributor", "--port", "0", "--data-dir", cwd)

    def test_index(self) -> None:
        """
        An index of a later version, which an older program must leave alone, and one that cannot be opened.
        """
        data_dir = self.directory()
        index = data_dir / "state" / "index.sqlite3"
        index.mkdir(parents=True)
        options = ("--port", "0", "--data-dir", data_dir)
        self.assert_refused(f"index {index}: unable to open database file", "distributor", *options)
        index.rmdir()
        with sqlite3.connect(index) as database:
            database.execute("CREATE TABLE of_a_later_version (id)")
            database.execute("PRAGMA user_version = 99")
        database.close()
        self.assert_refused(f"index {index} has version 99; .*", "distributor", *options)

    def test_storage_node(self) -> None:
        """
        The storage node: a folder or a manifest that cannot be, a rate or a port that makes no sense or is in use.
        """
        media = ("storage-node", "--media", folder(self, CONTENTS))
        port = taken_port(self)
        self.assert_refused("--media DIR is required", "storage-node")
        self.assert_refused("nope: No such file or directory", "storage-node", "--media", "nope")
        self.assert_refused("--rate: at least 1 byte per second", *media, "--rate", "0")
        self.assert_refused("--port 70000: .*", *media, "--port", "70000")
        self.assert_refused(rf"cannot listen on 127.0.0.1:{port}: .* in use", *media, "--port", str(port))
        self.assert_refused(".*/nope/.*: No such file .*", *media, "--port", "0", "--manifest", "/nope/m.yml")


class StartTests(ProcessTestCase):
    """
    Where a node listens, and where it finds things.
    """

    def start(
        self, *options: str | Path, cwd: Path, env: Mapping[str, str] | None = None, log: str = "Serving at"
    ) -> Process:
        """
        Start a node in C{cwd}, and wait for C{log}.
        """
        process = Process(self, ["distributor", *options], env, cwd)
        process.wait_for(log)
        return process

    def configured(self, path: Path, node_id: str, **values: object) -> None:
        """
        Write a configuration, and the manifest that it names.
        """
        listed = manifest(self, ["http://127.0.0.1:1/"], CONTENTS)
        values = {"id": node_id, "catalogue": {"manifest": str(listed)}, "publicApi": {"port": 0}, **values}
        path.write_text(json.dumps(values))

    def told_id(self, process: Process) -> object:
        """
        The id of a node that listens at all addresses.
        """
        port = process.wait_for(r"Serving at IPv4Address\(.*port=(\d+)\)")[1]
        return status(self, f"http://127.0.0.1:{port}")["id"]

    def test_listens_twice(self) -> None:
        """
        C{--listen} may be given several times, and may be a UNIX socket, whose file goes with the node; one that a
        killed node has left is no obstacle.
        """
        path = _short_directory(self) / "s"
        data_dir = self.directory() / "data"
        for end in (Node.kill, Node.stop):
            node = Node.start(self, args=["--listen", f"unix:{path}"], data_dir=data_dir)
            over_tcp = get(self, f"{node.url}/api/v1/asset/5")[2]
            done = run(
                "curl", "-sS", "--unix-socket", path, "http://localhost/api/v1/asset/5", directory=self.directory()
            )
            self.assertEqual((done.returncode, done.stdout), (0, over_tcp))
            end(node)
        self.assertFalse(path.exists())

    def test_configuration_found(self) -> None:
        """
        The option's file is taken before C{$CONFIG_PATH}'s, and that before C{config.yml} where the node is started.
        """
        cwd = self.directory()
        for path in (cwd / "config.yml", cwd / "environment.yml", cwd / "option.yml"):
            self.configured(path, path.stem)
        env = {"CONFIG_PATH": "environment.yml"}
        process = self.start("--config", "option.yml", cwd=cwd, env=env)
        self.assertEqual(self.told_id(process), "option")
        process.stop()
        process = self.start(cwd=cwd, env=env)
        self.assertEqual(self.told_id(process), "environment")
        process.stop()
        process = self.start(cwd=cwd)
        self.assertEqual(self.told_id(process), "config")
        self.assertIn(f"Configuration: {cwd}/config.yml", process.log())
        # Where nothing else says so.
        self.assertTrue((cwd / "local" / "assets").is_dir())

    def test_directories(self) -> None:
        """
        systemd's directories are taken, unless the configuration names others, relative to itself.
        """
        cwd = self.directory()
        cache, state = cwd / "var" / "cache", cwd / "var" / "state"
        env = {"CACHE_DIRECTORY": str(cache), "STATE_DIRECTORY": str(state)}
        self.configured(cwd / "config.yml", "me")
        self.start(cwd=cwd, env=env).stop()
        self.assertTrue((cache / ".partial").is_dir())
        self.assertTrue((state / "index.sqlite3").is_file())
        (cwd / "etc").mkdir()
        self.configured(cwd / "etc" / "c.yml", "me", directories={"assets": "../mine", "cacheState": "s"})
        self.start("-c", "etc/c.yml", cwd=cwd, env=env).stop()
        self.assertTrue((cwd / "mine" / ".partial").is_dir())
        self.assertTrue((cwd / "etc" / "s" / "index.sqlite3").is_file())

    def test_application_file(self) -> None:
        """
        C{twistd -ny distributor.tac} is the same service.
        """
        cwd = self.directory()
        self.configured(cwd / "config.yml", "from a tac")
        process = Process(self, ["-y", ROOT / "distributor.tac"], None, cwd)
        self.assertEqual(self.told_id(process), "from a tac")
        process.stop()


class ConfigurationTests(ProcessTestCase):
    """
    What is in force: C{--check-config}, the environment, and files that it names.
    """

    def setUp(self) -> None:
        self.cwd = self.directory()
        listed = manifest(self, ["http://127.0.0.1:1/"], CONTENTS)
        self.written = {"id": "in the file", "catalogue": {"manifest": str(listed)}, "publicApi": {"port": 0}}
        (self.cwd / "config.yml").write_text(json.dumps(self.written))

    def check(self, *options: str | Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return run_to_end(
            self, "distributor", "--check-config", *options, cwd=self.cwd, env={PREFIX + k: v for k, v in env.items()}
        )

    def test_check(self) -> None:
        """
        Every value is printed with where it comes from, without secrets; nothing is made, and nothing listens.
        """
        (self.cwd / "hmac").write_text("whisper\n")
        done = self.check(env={"OPERATOR_API__PORT": "0", "OPERATOR_API__HMAC_SECRET_FILE": "hmac", "NOPE": "1"})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn("whisper", done.stdout)
        self.assertRegex(done.stdout, rf"(?m)^id +in the file +{self.cwd}/config.yml$")
        self.assertRegex(done.stdout, rf"(?m)^operatorApi.port +0 +\${PREFIX}OPERATOR_API__PORT$")
        origin = rf"hmac \(\${PREFIX}OPERATOR_API__HMAC_SECRET_FILE\)"
        self.assertRegex(done.stdout, rf"(?m)^operatorApi.hmacSecret +\(hidden\) +{origin}$")
        self.assertRegex(done.stdout, r"(?m)^limits.storage +20G +default$")
        self.assertRegex(done.stdout, rf"(?m)^note: {PREFIX}NOPE: there is no such key")
        self.assertEqual({path.name for path in self.cwd.iterdir()}, {"config.yml", "hmac"})

    def test_check_wrong(self) -> None:
        """
        Each mistake is a line on stderr, and the exit status is 1.
        """
        done = self.check(env={"OPERATOR_API__PORT": "-1", "WORKER_ID": "x"})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(
            done.stderr,
            f"distributor: {PREFIX}WORKER_ID: workerId: must be a non-negative integer\n"
            f"{PREFIX}OPERATOR_API__PORT: operatorApi.port: must be an integer from 0 to 65535\n",
        )

    def test_check_beside_a_node(self) -> None:
        """
        It does not mind that a node runs, whose pidfile and directories are the same.
        """
        (self.cwd / "twistd.pid").write_text(str(os.getpid()))
        Process(self, ["distributor"], None, self.cwd).wait_for("Serving at")
        done = subprocess.run(
            [each for each in command("distributor", "--check-config") if each not in ("-n", "--pidfile=")],
            cwd=self.cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_overridden(self) -> None:
        """
        The environment goes before the file; what has no effect is told of in the log, once.
        """
        env = {PREFIX + "ID_FILE": "name", PREFIX + "KEYS": '[{"suri": "//Alice"}]', PREFIX + "NOPE": "1"}
        (self.cwd / "name").write_text("in another file")
        process = Process(self, ["distributor"], env, self.cwd)
        port = process.wait_for(r"Serving at IPv4Address\(.*port=(\d+)\)")[1]
        self.assertEqual(status(self, f"http://127.0.0.1:{port}")["id"], "in another file")
        process.stop()
        self.assertEqual(process.log().count("without an effect here: keys"), 1)
        self.assertEqual(process.log().count(f"{PREFIX}NOPE: there is no such key"), 1)
        self.assertNotIn("Alice", process.log())

    def test_environment_alone(self) -> None:
        """
        Without a file, the environment can say everything.
        """
        (self.cwd / "config.yml").unlink()
        env = {
            PREFIX + "ID": "of the environment",
            PREFIX + "CATALOGUE": json.dumps(self.written["catalogue"]),
            PREFIX + "PORT": "0",
        }
        process = Process(self, ["distributor"], env, self.cwd)
        port = process.wait_for(r"Serving at IPv4Address\(.*port=(\d+)\)")[1]
        self.assertEqual(status(self, f"http://127.0.0.1:{port}")["id"], "of the environment")
        self.assertIn("Configuration: the environment", process.log())


class SupervisorTests(ProcessTestCase):
    """
    A node under a supervisor, to whom it tells how it stands; and as a daemon, without one.
    """

    def setUp(self) -> None:
        path = _short_directory(self) / "notify"
        self.supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.supervisor.close)
        self.supervisor.settimeout(PATIENCE_S)
        self.supervisor.bind(str(path))
        self.env = {"NOTIFY_SOCKET": str(path)}

    def told(self) -> str:
        """
        What the supervisor is told next.
        """
        return self.supervisor.recv(4096).decode()

    def test_notifies(self) -> None:
        """
        It is told when the node serves, while it reads its manifest anew, and when it stops; in this order.
        """
        node = Node.start(self, env=self.env)
        self.assertEqual(self.told(), "READY=1")
        self.assertEqual(ask(self, f"{node.url}/readyz").status, 200)
        node.signal(signal.SIGHUP)
        self.assertEqual([self.told(), self.told()], ["RELOADING=1", "READY=1"])
        node.stop()
        self.assertEqual(self.told(), "STOPPING=1")

    def daemon(self, *options: str | Path) -> tuple[subprocess.CompletedProcess[str], Path]:
        """
        Run C{twistd} without C{-n}, and wait until the process that was started has ended.

        @return: how it ended, and where the daemon was started.
        """
        cwd = self.directory()
        foreground = command("--pidfile", "pid", "--logfile", "log", "distributor", *options)
        # The daemon inherits it, and it ends with the last process that has it.
        self.ended, held = os.pipe()
        self.addCleanup(os.close, self.ended)
        done = subprocess.run(
            [each for each in foreground if each not in ("-n", "--pidfile=")],
            pass_fds=(held,),
            cwd=cwd,
            env=environment(self.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        os.close(held)
        return done, cwd

    def test_daemon(self) -> None:
        """
        Without C{-n} it becomes a daemon, whose pidfile and log are where twistd was told; relative paths mean what
        they mean at the terminal.
        """
        path = _short_directory(self) / "s"
        done, cwd = self.daemon("--listen", f"unix:{path}", "--data-dir", "data")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        pid = int((cwd / "pid").read_text())
        # It is not a child of ours.
        process = os.pidfd_open(pid)
        self.addCleanup(os.close, process)
        self.addCleanup(_kill, process)
        self.assertEqual(self.told(), "READY=1")
        asset = ("--unix-socket", path, "http://localhost/api/v1/asset/5")
        self.assertEqual(run("curl", "-sS", "--fail", *asset, directory=cwd).returncode, 0)
        signal.pidfd_send_signal(process, signal.SIGTERM)
        self.assertEqual(self.told(), "STOPPING=1")
        self.assertTrue(select([process], [], [], PATIENCE_S)[0], "the daemon goes on")
        self.assertFalse((cwd / "pid").exists())
        self.assertTrue((cwd / "data" / "assets" / "5").exists())
        self.assertNotIn("Traceback", (cwd / "log").read_text())

    def test_log_files(self) -> None:
        """
        Log files begin with what twistd says first, and are in the directory where the daemon was started.
        """
        path = _short_directory(self) / "s"
        self.env |= {PREFIX + "LOGS__FILE__PATH": "logs", PREFIX + "LOGS__CONSOLE__LEVEL": "error"}
        done, cwd = self.daemon("--listen", f"unix:{path}")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        process = os.pidfd_open(int((cwd / "pid").read_text()))
        self.addCleanup(os.close, process)
        self.addCleanup(_kill, process)
        self.assertEqual(self.told(), "READY=1")
        # It would end of it, if it did not begin a new file.
        signal.pidfd_send_signal(process, signal.SIGUSR1)
        signal.pidfd_send_signal(process, signal.SIGTERM)
        self.assertEqual(self.told(), "STOPPING=1")
        self.assertTrue(select([process], [], [], PATIENCE_S)[0], "the daemon goes on")
        written = (cwd / "logs" / "distributor.log").read_text()
        for line in ("starting up", "the standalone demo", "Serving at", "Server Shut Down"):
            self.assertIn(line, written)
        self.assertEqual((cwd / "log").read_text(), "")

    def test_console(self) -> None:
        """
        In the foreground, as little is said as the configuration wants; an application file leaves it to twistd.
        """
        self.env |= {PREFIX + "LOGS__CONSOLE": "off", PREFIX + "PUBLIC_API__PORT": "0"}
        process = Process(self, ["distributor"], self.env, self.directory())
        self.assertEqual(self.told(), "READY=1")
        process.stop()
        self.assertEqual(self.told(), "STOPPING=1")
        self.assertEqual(process.log(), "")
        process = Process(self, ["-y", ROOT / "distributor.tac"], self.env, self.directory())
        process.wait_for("logs.console.level has no effect")
        process.wait_for("Serving at")

    def test_daemon_refused(self) -> None:
        """
        Why it cannot start is said at the terminal all the same, with status 1; there is no pidfile left.
        """
        port = taken_port(self)
        done, cwd = self.daemon("--port", str(port))
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"cannot listen on 127.0.0.1:{port}", done.stderr)
        self.assertNotIn("Traceback", done.stderr + done.stdout)
        # It tells the process that was started before it tells its log.
        self.assertTrue(select([self.ended], [], [], PATIENCE_S)[0], "the daemon goes on")
        self.assertFalse((cwd / "pid").exists())
        self.assertIn("Address already in use", (cwd / "log").read_text())
        done, cwd = self.daemon("--nope")
        self.assertEqual((done.returncode, done.stderr), (1, "distributor: option --nope not recognized\n"))
        self.assertEqual(list(cwd.iterdir()), [])


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)


def _short_directory(case: ProcessTestCase) -> Path:
    """
    A directory whose path leaves room for the 107 bytes that the path of a UNIX socket may have.
    """
    path = Path(tempfile.mkdtemp(prefix="node-"))
    case.addCleanup(shutil.rmtree, path)
    return path
