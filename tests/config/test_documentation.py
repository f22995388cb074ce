"""
C{docs/configuration.rst} says what the code does.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from distributor.config import KEYS, Effective, effective
from distributor.config.environment import PATHS, PREFIX
from distributor.config.keys import SECTIONS, SETTINGS, Setting
from tests.config.test_load import BASE, parse

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.rst").read_text(encoding="utf-8")


def table(title: str) -> list[list[str]]:
    """
    The rows of a table of the page, without its head.
    """
    _, _, found = PAGE.partition(f".. list-table:: {title}\n")
    # Rows are indented; the next line that is not ends the table.
    found = re.split(r"\n(?=\S)", found)[0]
    return [
        [re.sub(r"\s+", " ", cell.strip()) for cell in re.split(r"\n\s+- ", row)]
        for row in found.split("\n   * - ")[2:]
    ]


class DocumentationTests(SynchronousTestCase):
    """
    The page against the code.
    """

    def test_keys(self) -> None:
        """
        The table has a row for each key, in the order of the code, with what it may be, its default and its meaning;
        and no other rows.
        """
        rows = table("Keys of the configuration file")
        self.assertEqual([row[0] for row in rows], [f"``{key.path}``" for key in KEYS])
        for found, key in zip(rows, KEYS, strict=True):
            self.assertEqual(found, self.row(key))

    def row(self, key: Setting) -> list[str]:
        default = "none" if key.default is None else f"``{key.default}``"
        if isinstance(key.default, bool):
            default = default.lower()
        return [f"``{key.path}``", key.kind.expected, "required" if key.required else default, key.meaning]

    def test_older_spellings(self) -> None:
        """
        Each older spelling has a row; those of the logs have one together.
        """
        older = {f"``{old}``": f"``{key.path}``" for key in KEYS for old in key.older if not old.startswith("log.")}
        self.assertEqual(dict(table("Older spellings")), older | {"``log.*``": "``logs.*``"})

    def test_names(self) -> None:
        """
        Each variable and each key that the page names anywhere exists.
        """
        names = set(re.findall(rf"{PREFIX}(\w+)", PAGE))
        self.assertTrue(names)
        unknown = {
            PREFIX + name for name in names if not {PREFIX + name, PREFIX + name.removesuffix("_FILE")} & {*PATHS}
        }
        self.assertEqual(unknown, set())
        tops = {path.split(".")[0] for path in SETTINGS}
        named = {path for path in re.findall(r"``([a-zA-Z]+(?:\.[a-zA-Z]+)+)``", PAGE) if path.split(".")[0] in tops}
        self.assertEqual(named - {*SETTINGS, *SECTIONS, "config.yml"}, set())

    def test_example(self) -> None:
        """
        The examples of the page are valid, and the paths in them are taken as the page says.
        """
        [example] = re.findall(r"\.\. code-block:: yaml\n   :caption: config\.yml\n\n((?:   .*\n|\n)+)", PAGE)
        config = parse(dedent(example))
        self.assertEqual(config.catalogue.manifest, BASE / "manifest.yml")

    def test_output(self) -> None:
        """
        What the page shows of C{--check-config} are keys, in the order in which they are printed.
        """
        shown = re.findall(r"^   ([a-zA-Z.]+)  +\S+ +\S", PAGE, re.MULTILINE)
        rows: tuple[Effective, ...] = effective(parse("id: x\ncatalogue: {manifest: m}"))
        self.assertEqual(shown, [row.key for row in rows if row.key in shown])
        self.assertGreater(len(shown), 4)
