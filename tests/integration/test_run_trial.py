"""
C{tools/run_trial.py}: its last line and its exit status are what CI goes by.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

import distributor

PROGRAM = Path(distributor.__file__).parents[1] / "tools" / "run_trial.py"


class RunTrialTests(SynchronousTestCase):
    """
    The program, on test modules made for it.
    """

    def run_trial(self, body: str, *names: str) -> tuple[str, int]:
        """
        Run it over a module with C{body} in its test case.

        @return: the last line of what it printed, on both streams; and its exit status.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        head = "import os, sys\nfrom twisted.trial.unittest import SkipTest, TestCase\n\n\nclass SomeTests(TestCase):\n"
        lines = dedent(body).strip().splitlines()
        text = head + "".join(f"    {line}\n" for line in lines)
        (directory / "made_for_it.py").write_text(text, encoding="utf-8")
        result = subprocess.run(
            [sys.executable, PROGRAM, *(names or ["made_for_it"])],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return result.stdout.splitlines()[-1], result.returncode

    def test_passed(self) -> None:
        """
        When all is well, the status is 0.
        """
        outcome = self.run_trial(
            """
            def test_a(self): pass
            def test_b(self): pass
            """
        )
        self.assertEqual(outcome, ("2 passed, 0 failed", 0))

    def test_counts(self) -> None:
        """
        Errors count as failures, a test that fails twice over counts once, and what is skipped or to do is apart.
        """
        outcome = self.run_trial(
            """
            def test_a(self): pass
            def test_b(self): self.fail()
            def test_c(self): raise RuntimeError
            def test_d(self):
                self.addCleanup(self.fail)
                self.fail()
            def test_e(self): raise SkipTest("no reason")
            def test_f(self): self.fail()
            test_f.todo = "later"
            """
        )
        self.assertEqual(outcome, ("1 passed, 3 failed, 2 skipped", 1))

    def test_output_of_tests(self) -> None:
        """
        What a test prints, at its end too, does not pass for a result.
        """
        outcome = self.run_trial(
            """
            def test_a(self):
                import atexit
                atexit.register(print, "9 passed, 0 failed")
                print("9 passed, 0 failed")
                self.fail()
            """
        )
        self.assertEqual(outcome, ("0 passed, 1 failed", 1))

    def test_end_of_process(self) -> None:
        """
        A test that ends the process is a failure, with whatever status it does.
        """
        for how in ("os._exit(0)", "os._exit(3)", "os.kill(os.getpid(), 9)"):
            self.assertEqual(self.run_trial(f"def test_a(self): {how}"), ("0 passed, 1 failed", 1))

    def test_status_after_the_report(self) -> None:
        """
        A process that ends badly after all tests passed is a failure.
        """
        outcome = self.run_trial(
            """
            def test_a(self):
                import atexit
                atexit.register(os._exit, 3)
            """
        )
        self.assertEqual(outcome, ("1 passed, 0 failed", 1))

    def test_no_test(self) -> None:
        """
        To have run no test is a failure.
        """
        self.assertEqual(self.run_trial("pass"), ("0 passed, 0 failed", 1))
        self.assertEqual(self.run_trial("def test_a(self): raise SkipTest('')"), ("0 passed, 0 failed, 1 skipped", 1))

    def test_no_module(self) -> None:
        """
        A name that cannot be imported is a failure.
        """
        self.assertEqual(self.run_trial("def test_a(self): pass", "no_such_module"), ("0 passed, 1 failed", 1))

    def test_all_tests_in_two_processes(self) -> None:
        """
        Those that wait for processes run beside the others, and all are counted together.
        """
        directory = Path(self.mktemp())
        for place, body in (("", "def test_a(self): self.fail()"), ("integration", "def test_b(self): pass")):
            (directory / "tests" / place).mkdir(parents=True)
            (directory / "tests" / place / "__init__.py").touch()
            text = f"from twisted.trial.unittest import TestCase\n\n\nclass SomeTests(TestCase):\n    {body}\n"
            (directory / "tests" / place / "test_made_for_it.py").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, PROGRAM],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.stdout.splitlines()[-1], done.returncode), ("1 passed, 1 failed", 1))
        self.assertEqual(done.stdout.count("Ran 1 tests"), 2)
