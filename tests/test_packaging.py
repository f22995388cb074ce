"""
What the package says that it needs, against what it imports and what the lock files pin.
"""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import distributor

PACKAGE = Path(distributor.__file__).parent
ROOT = PACKAGE.parent

#: The packages whose names are not those of what they are imported as.
PROVIDED_BY = {
    "attr": "attrs",
    "jwt": "pyjwt",
    "OpenSSL": "pyopenssl",
    "graphql": "graphql-core",
    "yaml": "pyyaml",
    "zope": "zope-interface",
}


def declared(section: str, option: str) -> dict[str, Requirement]:
    """
    The requirements of one option in C{setup.cfg}, by canonical name.
    """
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    found = [Requirement(line) for line in parser[section][option].splitlines() if line]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def pinned(name: str) -> dict[str, Version]:
    """
    The pins of a lock file, by canonical name.
    """
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pins}


def needed(roots: Iterable[Requirement]) -> set[str]:
    """
    What the installed packages of these names need, they themselves included, by canonical name.
    """
    waiting = list(roots)
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        for text in metadata.requires(requirement.name) or ():
            further = Requirement(text)
            extras = ("", *requirement.extras)
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(further)
    return {name for name, _ in seen}


class RequirementsTests(SynchronousTestCase):
    """
    C{setup.cfg} and the lock files.
    """

    def test_imports_are_declared(self) -> None:
        """
        Every package that is imported is a requirement of its own, not one that another brings along; and nothing is
        required that is not imported. What only the development network imports is an extra.
        """
        imported = set()
        for path in PACKAGE.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
                    imported.add(node.module.partition(".")[0])
        others = imported - sys.stdlib_module_names - {"distributor"}
        names = {canonicalize_name(PROVIDED_BY.get(name, name)) for name in others}
        required = declared("options", "install_requires") | declared("options.extras_require", "devnet")
        self.assertEqual(names, set(required))

    def test_lock_is_exact(self) -> None:
        """
        The run-time lock pins what the requirements need, and nothing else.
        """
        requirements = declared("options", "install_requires")
        self.assertEqual(set(pinned("requirements.lock")), needed(requirements.values()))

    def test_development_lock_is_exact(self) -> None:
        """
        The development lock adds what the extras need, and setuptools.
        """
        extras = [declared("options.extras_require", name) for name in ("devnet", "test", "lint")]
        tools = needed(requirement for extra in extras for requirement in extra.values())
        run_time = set(pinned("requirements.lock"))
        self.assertEqual(set(pinned("requirements-dev.lock")), tools - run_time | {"setuptools"})

    def test_benchmark_lock_is_exact(self) -> None:
        """
        The lock of the benchmarks adds what their extra needs. It is checked where that is installed, as tests do not
        need it.
        """
        extra = declared("options.extras_require", "bench")
        try:
            wanted = needed(extra.values())
        except metadata.PackageNotFoundError as error:
            raise SkipTest(f"not installed: {error.name}") from error
        self.assertEqual(set(pinned("requirements-bench.lock")), wanted - set(pinned("requirements.lock")))

    def test_pins_are_in_range(self) -> None:
        """
        Each pinned version is one that the declared range allows.
        """
        pins = pinned("requirements.lock") | pinned("requirements-dev.lock") | pinned("requirements-bench.lock")
        ranges = declared("options", "install_requires")
        for extra in ("bench", "devnet", "test", "lint"):
            ranges |= declared("options.extras_require", extra)
        for name, requirement in ranges.items():
            self.assertIn(pins[name], requirement.specifier, name)

    def test_locks_are_pins_only(self) -> None:
        """
        The lock files say which versions, and nothing about where they come from.
        """
        for name in ("requirements.lock", "requirements-dev.lock", "requirements-bench.lock"):
            for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
                self.assertTrue(re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[0-9][0-9.]*", line), f"{name}: {line}")

    def test_version(self) -> None:
        """
        The changes begin with the version that the package says it is.
        """
        changes = (ROOT / "CHANGES.rst").read_text(encoding="utf-8")
        headings = re.findall(r"^([0-9][^\n]*)\n-+$", changes, re.MULTILINE)
        self.assertEqual(headings[0].split()[0], distributor.__version__)
