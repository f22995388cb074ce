"""
The order of the rooms: each module imports from its own room and from those below it, and nothing else of ours.

The checker reads the imports of a source text, wherever they stand in it; it is itself tested on texts made for that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import distributor

#: From the top down. What is not named here is not a room.
ROOMS = (
    "tap",
    "service",
    # What an operator can ask of a running node.
    "operations",
    "config",
    "web",
    "workers",
    "node",
    "delivery",
    "transfer",
    "cache",
    "sources",
    "catalogue",
    "observe",
    # How files that people write are read and checked: the configuration, and the catalogue's manifest.
    "schema",
    "document",
    "model",
)

#: Beside the order: imported by C{tap} alone, and it knows the shared values alone.
DEVNET = "devnet"

#: Beside the order, too: the command line of the operator, a program of its own, which nothing imports.
CLI = "cli"

#: What it needs of the node: where its API is and how requests are signed.
CLI_IMPORTS = {"config", "web", "model"}

#: Who may import the global reactor.
REACTOR_ROOMS = {"tap"}


def imported_names(module: str, is_package: bool, source: str) -> Iterator[tuple[int, str]]:
    """
    Every name that C{source} imports, in full, with the line where it does; a relative one is resolved.

    C{from a import b} gives C{a.b}: whether C{b} is a module cannot be seen from here, and does not matter.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            # One dot is the package of the module; each further one is one up.
            parents = module.split(".")
            kept = len(parents) - node.level + (1 if is_package else 0)
            base = parents[:kept] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])


def room_of(name: str) -> str | None:
    """
    The room that a full name belongs to; L{None} if it is not ours, or is the root package or its version.
    """
    parts = name.split(".")
    if parts[0] != "distributor" or len(parts) == 1:
        return None
    if parts[1] == "__main__":
        # The same command line, where its console script is not installed.
        return CLI
    return None if parts[1].startswith("__") else parts[1]


def may_import(importer: str, imported: str) -> bool:
    """
    Whether a module of one room may import from another.
    """
    if importer == imported:
        return True
    if DEVNET in (importer, imported):
        return importer == "tap" or imported == "model"
    if CLI in (importer, imported):
        return importer == CLI and imported in CLI_IMPORTS
    return importer in ROOMS and imported in ROOMS and ROOMS.index(importer) < ROOMS.index(imported)


def violations(module: str, is_package: bool, source: str) -> list[str]:
    """
    What is wrong with the imports of a module of ours, a line of text for each.
    """
    importer = room_of(module)
    found = []
    if importer is not None and importer not in (*ROOMS, DEVNET, CLI):
        found.append(f"{module}: {importer} is not one of the rooms")
    for line, name in imported_names(module, is_package, source):
        imported = room_of(name)
        if imported is not None and (importer is None or not may_import(importer, imported)):
            found.append(f"{module}:{line}: {importer or 'the root package'} may not import {imported}")
        if (name + ".").startswith("twisted.internet.reactor.") and importer not in REACTOR_ROOMS:
            found.append(f"{module}:{line}: the reactor is an argument below tap")
    # One import of many names is one violation.
    return list(dict.fromkeys(found))


class RoomsTests(SynchronousTestCase):
    """
    The package as it is.
    """

    def test_imports_go_down(self) -> None:
        """
        No module of the package breaks the order.
        """
        root = Path(distributor.__file__).parent
        found: list[str] = []
        seen = set()
        for path in sorted(root.rglob("*.py")):
            parts = ["distributor", *path.relative_to(root).with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            seen.add(room_of(module))
            found += violations(module, is_package, path.read_text(encoding="utf-8"))
        self.assertEqual(found, [], "\n".join(found))
        self.assertEqual({*ROOMS, DEVNET} - seen, set(), "a room of the list is gone")


class CheckerTests(SynchronousTestCase):
    """
    The checker, on texts made for it.
    """

    def assert_fine(self, module: str, source: str, is_package: bool = False) -> None:
        self.assertEqual(violations(module, is_package, source), [])

    def assert_found(self, module: str, source: str, count: int = 1, is_package: bool = False) -> None:
        found = violations(module, is_package, source)
        self.assertEqual(len(found), count, found)

    @given(st.sampled_from(ROOMS), st.sampled_from(ROOMS))
    def test_order(self, importer: str, imported: str) -> None:
        """
        A room may import itself and what stands after it in the list.
        """
        found = violations(f"distributor.{importer}.part", False, f"from distributor.{imported} import x")
        self.assertEqual(found == [], ROOMS.index(importer) <= ROOMS.index(imported))

    def test_spellings(self) -> None:
        """
        Each way to write an import is seen.
        """
        for source in (
            "import distributor.web",
            "import distributor.web.answer as a",
            "from distributor import web",
            "from distributor import model, web",
            "from distributor.web import answer, headers",
            "from distributor.web.answer import answer",
            "from .. import web",
            "from ..web import answer",
            "from ..web.answer import *",
            "def late():\n    from distributor.web import answer",
            "if TYPE_CHECKING:\n    from distributor.web import answer",
            "try:\n    import distributor.web\nexcept ImportError:\n    pass",
            "class A:\n    async def f(self):\n        import distributor.web",
        ):
            self.assert_found("distributor.cache.store", source)

    def test_relative_imports(self) -> None:
        """
        Dots count from the package that a module is in; a package's C{__init__} is in itself.
        """
        self.assert_fine("distributor.cache.store", "from . import index\nfrom .index import Index")
        self.assert_fine("distributor.cache", "from .store import Store", is_package=True)
        self.assert_fine("distributor.cache", "from ..model import ByteRange", is_package=True)
        self.assert_found("distributor.cache", "from ..web import answer", is_package=True)
        self.assert_found("distributor.node", "from .web import answer")
        self.assert_fine("distributor.node", "from .delivery import answer")

    def test_what_is_not_ours(self) -> None:
        """
        Other packages are no matter, even when they look like ours; nor is the version in the root package.
        """
        self.assert_fine("distributor.model", "import distributors.web, os.path\nfrom twisted.web import server")
        self.assert_fine("distributor.web.headers", "from distributor import __version__")

    def test_devnet(self) -> None:
        """
        The development network is for C{tap} alone, and stands on the shared values alone.
        """
        self.assert_fine("distributor.tap", "from distributor.devnet import StorageNode")
        self.assert_fine("distributor.devnet.storage_node", "from distributor.model import ByteRange")
        self.assert_fine("distributor.devnet.storage_node", "from distributor.devnet import media")
        self.assert_found("distributor.service", "from distributor.devnet import StorageNode")
        self.assert_found("distributor.model", "from distributor.devnet import StorageNode")
        self.assert_found("distributor.devnet.storage_node", "from distributor.observe import notify")
        self.assert_found("distributor.devnet.storage_node", "from distributor.tap import Options")

    def test_command_line(self) -> None:
        """
        The operator's command line talks to a node over HTTP: it needs to know where, and how to sign, and no node.
        """
        for room in CLI_IMPORTS:
            self.assert_fine("distributor.cli.main", f"from distributor.{room} import part")
        for room in {*ROOMS, DEVNET} - CLI_IMPORTS:
            self.assert_found("distributor.cli.main", f"from distributor.{room} import part")
        for room in (*ROOMS, DEVNET):
            self.assert_found(f"distributor.{room}.part", "from distributor.cli import main")
        self.assert_fine("distributor.__main__", "from distributor.cli import main")
        self.assert_found("distributor.__main__", "from distributor.tap import Options")

    def test_a_new_room(self) -> None:
        """
        A module outside the list is found, with or without imports; and so is the import of one.
        """
        self.assert_found("distributor.helpers", "")
        self.assert_found("distributor.helpers.text", "x = 1")
        self.assert_found("distributor.web.page", "from distributor.helpers import text")

    def test_root_package(self) -> None:
        """
        The root package imports no room: everything imports it.
        """
        self.assert_fine("distributor", "__version__ = '1'", is_package=True)
        self.assert_found("distributor", "from distributor.model import ByteRange", is_package=True)

    def test_reactor(self) -> None:
        """
        Only C{tap} imports the reactor, at the top of a module or deep inside it.
        """
        for source in (
            "from twisted.internet import reactor",
            "from twisted.internet import defer, reactor as r",
            "import twisted.internet.reactor",
            "from twisted.internet.reactor import callLater",
            "def f():\n    from twisted.internet import reactor",
        ):
            self.assert_found("distributor.service", source)
            self.assert_found("distributor.devnet.storage_node", source)
            self.assert_fine("distributor.tap", source)
        self.assert_fine("distributor.service", "from twisted.internet import defer, reactors")
        self.assert_fine("distributor.service", "from twisted.internet.interfaces import IReactorTCP")
