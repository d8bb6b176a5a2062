"""What the tests of the command `tenure` share: running it as a user would, and looking at what comes of it."""
import gzip
import json
import os
import subprocess
import tempfile
import unittest
from html.parser import HTMLParser

TENURE = os.path.abspath("tools/tenure")
DEMOS = os.path.abspath("tools/demo_schedules")
NAMES = ["odd_shapes", "tiny_convnet_train", "tiny_transformer"]
PLAN_KEYS = ["trace", "file", "space", "planner", "alignment", "ops", "storages", "planned", "not_planned",
             "unplanned_bytes", "arenas", "arena_bytes", "lower_bound_bytes", "gap_percent", "optimal", "deadline_hit",
             "tlsf_bytes", "greedy_by_size_bytes", "reuse_edges", "fills", "plan_seconds"]
RUN_KEYS = PLAN_KEYS + ["weights", "executor", "run_seconds", "unplanned_run_seconds", "outputs_match", "digests"]
PACK_KEYS = ["input", "status", "deadline_hit", "height", "heights", "lower_bound", "gap_percent", "items", "seconds",
             "effort", "constructions", "improvements", "nodes", "backtracks", "rounds", "winner", "hints_given",
             "hints_honoured"]
COMMANDS = ["run", "plan", "pack", "render", "replay", "devices"]


def demo(name):
    return os.path.join(DEMOS, name + ".json.gz")


def load_demo(name):
    with gzip.open(demo(name), "rt", encoding="utf-8") as f:
        return json.load(f)


class Html(HTMLParser):
    """Checks that elements are closed in order."""

    VOID = {"meta", "link", "br", "input", "img", "hr"}

    def __init__(self):
        super().__init__()
        self.open = []
        self.bad = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(tag)


class CliCase(unittest.TestCase):

    # A packing problem whose least height is 12.
    PROBLEM = "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n"

    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory(prefix="tenure cli ")
        self.addCleanup(self.tmp.cleanup)

    def path(self, name):
        return os.path.join(self.tmp.name, name)

    def write(self, name, content):
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    @staticmethod
    def puzzle(pieces):
        """A rectangle of 10,000 moments and 1 MiB, cut into pieces: they fit together without a gap."""
        state, boxes = 2, [(0, 10000, 0, 1 << 20)]

        def random(limit):
            nonlocal state
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            return (state >> 33) % limit

        while len(boxes) < pieces:
            largest = max(range(len(boxes)), key=lambda i: (boxes[i][1] - boxes[i][0]) * (boxes[i][3] - boxes[i][2]))
            first, last, low, high = boxes.pop(largest)
            if random(2) and last - first > 2:
                cut = first + 1 + (last - first) // 4 + random((last - first) // 2)
                boxes += [(first, cut, low, high), (cut, last, low, high)]
            else:
                cut = low + 1 + (high - low) // 4 + random((high - low) // 2)
                boxes += [(first, last, low, cut), (first, last, cut, high)]
        rows = ["%d,%d,%d,%d" % (i, b[0], b[1], b[3] - b[2]) for i, b in enumerate(boxes)]
        return "id,lower,upper,size\n" + "\n".join(rows) + "\n"

    def tenure(self, *args, status=0, stdout=subprocess.PIPE, env=None, warns=False):
        """Runs the command and returns its stdout; checks the status and that stderr fits to it."""
        done = subprocess.run([TENURE, *args], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                              env=dict(os.environ, **(env or {})))
        self.stderr = done.stderr.decode("utf-8", "replace")
        self.assertEqual(done.returncode, status, "tenure %s: %s" % (" ".join(args), self.stderr))
        if status in (0, 3, 4):
            self.assertRegex(self.stderr, r"\A(tenure[^\n]*: warning: [^\n]{10,}\n)*\Z", args)
            self.assertEqual(self.stderr != "", warns, self.stderr)
        else:
            self.assertRegex(self.stderr, r"\Atenure[^\n]*: [^\n]{10,}\n\Z", args)
        return None if done.stdout is None else done.stdout.decode("utf-8")

    def json(self, *args, status=0, warns=False):
        """The one JSON object that stdout is."""
        out = self.tenure(*args, "--json", status=status, warns=warns)
        self.assertEqual(out.count("\n"), 1)
        return json.loads(out)

    def fails(self, *args, status=1, naming=()):
        """A failure: nothing on stdout, one line on stderr that has each of `naming`."""
        out = self.tenure(*args, status=status)
        self.assertEqual(out, "", args)
        for word in naming:
            self.assertIn(word, self.stderr)
