"""Runs the tests of one of CPython's test modules and prints each one's outcome as a line of JSON: [id, outcome, output].

    cpython.py PROCESSES MODULE [ID...]

Each class of tests runs in a process of its own, as many at once as PROCESSES says; with IDs, only those tests run, each in a process of
its own. Resources that need the Internet are off, as they are by default in CPython's own runner.
"""

import faulthandler
import json
import os
import signal
import sys
import tempfile
import unittest

# How long one test may take, in seconds: the slowest take 10 on an idle machine. One that takes longer is ended, with where it stood.
LIMIT = 60

# test_socketserver as a whole asks for this resource, and uses loopback only.
RESOURCES = {"test_socketserver": ["network"]}


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


class Result(unittest.TestResult):
    """Writes a line about each test as it ends; what fails in one part of a test (a subtest, its clean-up) fails it."""

    def __init__(self, log):
        super().__init__()
        self.log = log
        self.ends = {}
        self.written = set()
        self.class_end = None  # of a set-up that failed or skipped: holds for the tests that did not run

    def write(self, name, outcome, output):
        self.written.add(name)
        self.log.write(json.dumps([name, outcome, output]) + "\n")
        self.log.flush()

    def note(self, test, outcome, output):
        if not isinstance(test, unittest.TestCase):
            self.class_end = (outcome, output)
            return
        if self.ends.get(test.id(), ("", ""))[0] != "failed":
            self.ends[test.id()] = (outcome, output)

    def startTest(self, test):
        super().startTest(test)
        faulthandler.dump_traceback_later(LIMIT, exit=True)

    def stopTest(self, test):
        super().stopTest(test)
        faulthandler.dump_traceback_later(LIMIT, exit=True)  # for what comes between tests
        self.write(test.id(), *self.ends.get(test.id(), ("passed", "")))

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
    result = Result(log)
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    unittest.TestSuite(tests).run(result)
    for test in tests:
        if test.id() not in result.written:
            result.write(test.id(), *(result.class_end or ("failed", "it did not run")))


def start(tests, directory):
    """Forks a process that runs tests in a directory of its own below directory."""
    home = tempfile.mkdtemp(dir=directory)
    pid = os.fork()
    if pid:
        return pid, home
    os.setpgid(0, 0)
    os.chdir(home)
    out = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    with open("results", "w") as log:
        run(tests, log)
    os._exit(0)


def finish(tests, home):
    """Prints the lines of the process that ran tests. If it did not get to its end, the test at which it ended failed; those after it are
    returned."""
    try:
        with open(os.path.join(home, "results")) as log:
            lines = log.readlines()
    except OSError:
        lines = []
    print("".join(lines), end="", flush=True)
    told = {json.loads(line)[0] for line in lines}
    left = [test for test in tests if test.id() not in told]
    if not left:
        return []
    try:
        with open(os.path.join(home, "output"), errors="replace") as out:
            output = out.read()[-3000:]
    except OSError:
        output = ""
    print(json.dumps([left[0].id(), "failed", "the process ended: " + output]), flush=True)
    return left[1:]


def main():
    processes, name, wanted = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    from test import support

    support.use_resources = ["cpu"] + RESOURCES.get(name, [])
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
                running[pid] = (group, home)
            pid, _ = os.wait()
            if pid not in running:
                continue
            group, home = running.pop(pid)
            try:
                os.killpg(pid, signal.SIGKILL)  # what it left behind
            except OSError:
                pass
            left = finish(group, home)
            if left:
                queue.append(left)


if __name__ == "__main__":
    main()
