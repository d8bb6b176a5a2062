"""Runs the tests of this folder, or those that are named: N passed, N failed[, N skipped]."""

import os
import sys
import unittest


def main(names):
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(names) if names else loader.discover(here)
    result = unittest.TextTestRunner(verbosity=1, buffer=True).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    reasons = sorted({reason for _, reason in result.skipped})
    for reason in reasons:
        print("skipped: %s" % reason)
    text = "%d passed, %d failed" % (result.testsRun - failed - len(result.skipped), failed)
    print(text + (", %d skipped" % len(result.skipped) if result.skipped else ""))
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
