"""Runs every program of examples/ and compares what it prints with the .txt beside it."""
import glob
import os
import subprocess
import tempfile
import unittest

EXAMPLES = os.path.abspath("examples")


def sources():
    return sorted(glob.glob(os.path.join(EXAMPLES, "*.cc")) + glob.glob(os.path.join(EXAMPLES, "*.c")))


def run(name, *args):
    return subprocess.run([os.path.join(EXAMPLES, name), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", timeout=60)


class ExamplesTest(unittest.TestCase):

    def test_each_prints_what_it_promises(self):
        self.maxDiff = None
        self.assertGreaterEqual(len(sources()), 6)
        for source in sources():
            name = os.path.splitext(os.path.basename(source))[0]
            with self.subTest(name):
                result = run(name)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                with open(os.path.join(EXAMPLES, name + ".txt"), encoding="utf-8") as f:
                    self.assertEqual(result.stdout, f.read())

    def test_the_decoder_says_the_same_in_both_languages(self):
        with open(os.path.join(EXAMPLES, "decoder", "decoder.txt"), encoding="utf-8") as f:
            expected = f.read()
        for name in "decoder", "decoder_c":
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                result = run(os.path.join("decoder", name), os.path.join(folder, "weights"))
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertEqual(result.stdout, expected)

    def test_each_is_under_a_hundred_lines(self):
        for source in sources():
            with open(source, encoding="utf-8") as f:
                self.assertLess(len(f.readlines()), 100, source)

    def test_pack_csv_reads_files_and_tells_errors(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "two.csv")
            with open(path, "w", encoding="utf-8") as f:
                f.write("id,lower,upper,size\na,0,2,8\nb,2,4,8\n")
            self.assertIn("bytes needed: 8 (optimal", run("pack_csv", path).stdout)
            result = run("pack_csv", path + ".missing")
            self.assertEqual(result.returncode, 1)
            self.assertIn("two.csv.missing", result.stderr)


if __name__ == "__main__":
    unittest.main()
