"""The client, built by Bazel, prints what tools/dev/cmake_test wants of it when CMake has built it."""
import os
import subprocess
import unittest

FOLDER = os.path.join("tests", "cmake")


class ClientTest(unittest.TestCase):

    def test_it_prints_what_is_expected(self):
        said = subprocess.run([os.path.join(FOLDER, "client")], stdout=subprocess.PIPE, encoding="utf-8", check=True,
                              timeout=60).stdout
        with open(os.path.join(FOLDER, "client.txt"), encoding="utf-8") as f:
            self.assertEqual(said, f.read())


if __name__ == "__main__":
    unittest.main()
