"""
Tests for L{tests.integration.faults_document}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.faults_document import table, with_section

DOCUMENT = """Page
====

Words.

First
-----

old

Second
------
"""


class SectionTests(SynchronousTestCase):
    """
    Replacing one section of a page.
    """

    def test_in_the_middle(self) -> None:
        """
        What follows stays, and doing it again changes nothing.
        """
        written = with_section(DOCUMENT, "First", "new")
        self.assertEqual(written, DOCUMENT.replace("old", "new"))
        self.assertEqual(with_section(written, "First", "new"), written)

    def test_at_the_end(self) -> None:
        """
        The last section ends with the page.
        """
        written = with_section(DOCUMENT, "Second", "new")
        self.assertEqual(written, DOCUMENT + "\nnew\n")
        self.assertEqual(with_section(written, "Second", "new"), written)

    def test_unknown(self) -> None:
        """
        A section that is not there is a mistake.
        """
        self.assertRaises(ValueError, with_section, DOCUMENT, "Third", "new")


class TableTests(SynchronousTestCase):
    """
    Tables.
    """

    def test_columns(self) -> None:
        """
        Columns are as wide as their widest field.
        """
        self.assertEqual(
            table(("a", "bb"), [("ccc", "d"), ("e", "f")]), "===  ==\na    bb\n===  ==\nccc  d\ne    f\n===  =="
        )
