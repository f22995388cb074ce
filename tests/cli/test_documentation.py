"""
C{docs/command-line.rst} against the program.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import click
from twisted.trial.unittest import SynchronousTestCase

import distributor
from distributor.cli import bars, main, views
from distributor.cli.explanation import explanation
from tests.cli import samples
from tests.cli.operator_api import NOW
from tests.cli.test_views import drawn

PAGE = Path(distributor.__file__).parents[1] / "docs" / "command-line.rst"

#: What all commands share is told once.
_SHARED = {"--config", "--url", "--secret", "--secret-file", "--json", "--help"}


def examples() -> Mapping[str, str]:
    """
    What the commands of the page print on a terminal of 80 columns, by name.
    """
    return {
        "status": drawn(views.status(samples.STATUS, NOW)),
        "downloads": drawn(views.downloads(samples.DOWNLOADS, False)),
        "watch": drawn(bars.drawn(bars.of_downloads(samples.DOWNLOADS))),
        "explain": drawn(explanation(samples.EXPLANATION, NOW)),
        "objects": drawn(views.objects(samples.OBJECTS, False, NOW)) + "There are more: --after 7, or --all.\n",
        "storage-nodes": drawn(views.storage_nodes(samples.NODES)),
        "faults": drawn(views.faults(samples.FAULTS, False)),
        "config": drawn(views.settings(samples.CONFIG)),
        "evict": drawn(views.evicted({"objectId": "7", "freed": 734003200})),
        "verify": drawn(bars.drawn([bars.of_verification(samples.VERIFYING)]))
        + drawn(views.verified(samples.VERIFIED)),
    }


class DocumentationTests(SynchronousTestCase):
    """
    The page.
    """

    def setUp(self) -> None:
        self.page = PAGE.read_text(encoding="utf-8")
        # Times are shown as a clock on the wall has them.
        environ = mock.patch.dict(os.environ, TZ="UTC")
        environ.start()
        time.tzset()
        self.addCleanup(time.tzset)
        self.addCleanup(environ.stop)

    def sections(self) -> dict[str, str]:
        """
        What stands below each heading that is a command.
        """
        parts = re.split(r"^(\S[^\n]*)\n-+\n", self.page, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    def test_examples(self) -> None:
        """
        Each example is what the program prints.
        """
        for name, shown in examples().items():
            indented = "".join(f"    {line}\n" if line else "\n" for line in shown.splitlines())
            self.assertIn(indented + "\n", self.page, name)

    def test_commands_and_options(self) -> None:
        """
        Each command has a section, which names its arguments and its options, and no others; and each of Argus'
        spellings is there.
        """
        sections = self.sections()
        for name, command in main.commands.items():
            if command.hidden:
                self.assertIn(f"``{name}``", self.page)
                continue
            section = sections.pop(name)
            given = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
            options = {max(option.opts, key=len) for option in given}.union(
                *(option.secondary_opts for option in given)
            )
            named = set(re.findall(r"``(--[a-z-]+)", section))
            self.assertEqual(options - _SHARED, named - _SHARED, name)
        self.assertFalse({name for name in sections if name.islower() and " " not in name}, sections.keys())

    def test_options_of_all(self) -> None:
        """
        What all share is told at the beginning.
        """
        beginning = self.page.partition("\nstatus\n")[0]
        for option in _SHARED - {"--help"}:
            self.assertIn(f"``{option}", beginning)
