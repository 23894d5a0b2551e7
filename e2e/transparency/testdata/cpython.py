"""Runs the tests of one of CPython's test modules and prints each one's outcome as a line of JSON: [id, outcome, output].

    cpython.py PROCESSES MODULE [ID...]

Each class of tests runs in a process of its own, so many at once as PROCESSES says; with IDs, only those tests run, each in a process of
its own. Resources that need the Internet are off, as they are by default in CPython's own runner.
"""

import json
import os
import signal
import sys
import tempfile
import time
import unittest

# How long one process may take, in seconds; the slowest class of test_asyncio takes half a minute on an idle machine.
LIMIT = 150


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


class Result(unittest.TestResult):
    """Notes how each test ended; what fails in one part of a test (a subtest, its clean-up) fails it."""

    def __init__(self):
        super().__init__()
        self.ends = {}
        self.class_end = None  # of a set-up that failed or skipped: holds for the tests that did not run

    def note(self, test, outcome, output):
        if not isinstance(test, unittest.TestCase):
            self.class_end = (outcome, output)
            return
        if self.ends.get(test.id(), ("", ""))[0] != "failed":
            self.ends[test.id()] = (outcome, output)

    def stopTest(self, test):
        super().stopTest(test)
        self.ends.setdefault(test.id(), ("passed", ""))

    def addError(self, test, err):
        self.note(test, "failed", self._exc_info_to_string(err, test))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.note(test, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        # A subtest that is skipped does not skip the test.
        if test.__class__.__name__ != "_SubTest":
            self.note(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self.note(test, "passed", "")

    def addUnexpectedSuccess(self, test):
        self.note(test, "failed", "unexpected success")


def run(tests, log):
    """Runs tests in this process; the lines about them go to the file log."""
    result = Result()
    unittest.TestSuite(tests).run(result)
    missing = result.class_end or ("failed", "it did not run")
    for test in tests:
        outcome, output = result.ends.get(test.id(), missing)
        log.write(json.dumps([test.id(), outcome, output]) + "\n")


def start(tests, directory):
    """Forks a process that runs tests in a directory of its own below directory."""
    home = tempfile.mkdtemp(dir=directory)
    pid = os.fork()
    if pid:
        return pid, home
    os.setpgid(0, 0)
    os.chdir(home)
    out = os.open("output", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    with open("results", "w") as log:
        run(tests, log)
    sys.stdout.flush()
    os._exit(0)


def finish(tests, home):
    """Prints what the process wrote that ran tests; one that did not get to its end failed them all."""
    try:
        with open(os.path.join(home, "results")) as log:
            lines = log.read()
    except OSError:
        lines = ""
    if lines:
        print(lines, end="", flush=True)
        return
    try:
        with open(os.path.join(home, "output"), errors="replace") as out:
            output = out.read()[-3000:]
    except OSError:
        output = ""
    for test in tests:
        print(json.dumps([test.id(), "failed", "the process ended or was ended: " + output]), flush=True)


def main():
    processes, name, wanted = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    from test import support

    support.use_resources = ["cpu"]
    support.verbose = 0
    tests = list(flatten(unittest.defaultTestLoader.loadTestsFromName("test." + name)))
    groups = {}
    for test in tests:
        if wanted:
            if test.id().removeprefix("test.") in wanted:
                groups[test.id()] = [test]
        else:
            groups.setdefault((test.__class__.__module__, test.__class__.__qualname__), []).append(test)
    # The largest first: they take longest.
    queue = sorted(groups.values(), key=len)
    running = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        while queue or running:
            while queue and len(running) < processes:
                group = queue.pop()
                pid, home = start(group, directory)
                running[pid] = (group, home, time.monotonic() + LIMIT)
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid in running:
                group, home, _ = running.pop(pid)
                finish(group, home)
                try:
                    os.killpg(pid, signal.SIGKILL)  # what it left behind
                except OSError:
                    pass
                continue
            for pid, (_, _, deadline) in running.items():
                if time.monotonic() > deadline:
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(0.01)


if __name__ == "__main__":
    main()
