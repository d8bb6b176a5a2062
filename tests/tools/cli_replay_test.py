"""The command `tenure replay`, run as a user would."""
import re
import unittest

from cli_testing import CliCase

HEADER = ("event,status,time_ns,thread,space,allocation,storage,source_allocation,source_storage,"
          "size_bytes,alignment_bytes,offset_bytes,source_offset_bytes,zeroed,imported,name\n")
KEYS = ["log", "space", "decorators", "operations", "peak_in_use_bytes", "peak_reserved_bytes",
        "fragmentation_percent", "never_freed", "skipped", "left_out", "bytes_checked"]


def event(kind, allocation, size, offset=0, source=0, status="OK", alignment=0):
    return "%s,%s,1,1,cpu,%d,0,%d,0,%d,%d,%d,0,0,0,x\n" % (kind, status, allocation, source, size, alignment, offset)


LOG = (HEADER + event("allocate", 1, 1000, alignment=128) + event("copy_in", 1, 1000) + event("allocate", 2, 3000) +
       event("copy", 2, 500, offset=100, source=1) + event("fill", 2, 3000) + event("free", 1, 1000) +
       event("allocate", 0, 1, status="RESOURCE_EXHAUSTED") + event("copy_out", 2, 10, offset=2990))


class CliReplayTest(CliCase):

    def replay(self, log, *args, status=0):
        return self.json("replay", "--log=" + self.write("log.csv", log), *args, status=status)

    def test_text_says_what_it_took(self):
        text = self.tenure("replay", "--log=" + self.write("log.csv", LOG), "--space=cpu")
        for line in [r"7 operations, checked", r"\n  allocate +2 times", r"\n  copy_out +1 times", r" ns each\n",
                     r"peak in use 3\.91 KiB, peak reserved .* fragmentation [0-9.]+%\n", r"never frees 1 of",
                     r"\n1 events of the log can't be run"]:
            self.assertRegex(text, line)

    def test_json_in_every_space_and_stack(self):
        for args in [[], ["--space=cpu"], ["--space=null"], ["--decorators=caching"],
                     ["--decorators=limiting=4000,caching=1M,recording,debug-fill"]]:
            found = self.replay(LOG, *args)
            null = "--space=null" in args
            self.assertEqual(list(found), KEYS)
            self.assertEqual(found["space"], "null" if null else "cpu")
            counts = {kind: total["count"] for kind, total in found["operations"].items()}
            moves = 0 if null else 1
            self.assertEqual(counts, {"allocate": 2, "free": 1, "copy_in": moves, "copy_out": moves, "copy": moves,
                                      "fill": moves})
            self.assertEqual(found["peak_in_use_bytes"], 4000)
            self.assertGreaterEqual(found["peak_reserved_bytes"], 4000)
            self.assertEqual((found["never_freed"], found["skipped"]), (1, 1))
            self.assertEqual(found["left_out"], 4 if null else 0)
            self.assertEqual(found["bytes_checked"], not null)

    def test_help_names_the_keys_that_json_has(self):
        section = self.tenure("replay", "--help").split("Keys of the JSON object:\n")[1].split("\n\n")[0]
        keys = []
        for row in re.findall(r"^  (\S.*?)(?:  .*)?$", section, re.M):
            keys += row.split(", ")
        self.assertEqual(keys, KEYS)

    def test_an_empty_log_takes_nothing(self):
        self.assertEqual(self.replay(HEADER)["peak_in_use_bytes"], 0)

    def test_wrong_usage_is_status_2(self):
        log = "--log=" + self.write("log.csv", LOG)
        for args in [[], [log, "--space=moon"], [log, "--decorators=paint"], [log, "--decorators=limiting"],
                     [log, "--decorators=caching=lots"], [log, "--decorators=recording=4"], [log, "extra"]]:
            self.fails("replay", *args, status=2)

    def test_hostile_logs_are_refused_with_the_line(self):
        first = event("allocate", 1, 8)
        for rest, naming in [
            (event("free", 2, 8), ["line 3", "not alive"]),
            (event("free", 1, 8) * 2, ["line 4", "not alive"]),
            (event("allocate", 2, 2**64), ["line 3", "18446744073709551616"]),
            (event("allocate", 2, 2**64 - 1), ["line 3", "2^64"]),
            (event("fill", 1, 8, offset=1), ["line 3", "beyond"]),
            (event("fill", 1, 2, offset=2**64 - 1), ["line 3", "beyond"]),
            (event("copy", 1, 8, source=9), ["line 3", "not alive"]),
            (event("allocate", 2, 8, alignment=12), ["line 3", "power of two"]),
            ("free,OK,1\n", ["line 3", "3 fields"]), ("free,OK,1,1,cpu,1,\"", ["line 3", "quote"]),
            ("fr\0ee\n", ["line 3", "zero byte"]), ("walk" + first[8:], ["line 3", "walk"]),
        ]:
            path = self.write("log.csv", HEADER + first + rest)
            self.fails("replay", "--log=" + path, naming=["log.csv"] + naming)
        for content in [b"", b"\0", b"\x1f\x8b\xff", b"id,size\n1,2\n", HEADER.encode()[:-3]]:
            self.fails("replay", "--log=" + self.write("log.csv", content), naming=["line 1"])
        self.fails("replay", "--log=" + self.path("none.csv"), naming=["none.csv"])
        self.fails("replay", "--log=" + self.tmp.name)

    def test_what_does_not_fit_names_the_line(self):
        log = "--log=" + self.write("log.csv", LOG)
        self.fails("replay", log, "--decorators=limiting=2000", naming=["line 4", "2000"])
        huge = HEADER + event("allocate", 1, 2**62)
        self.fails("replay", "--log=" + self.write("huge.csv", huge), naming=["null"])
        self.assertEqual(self.replay(huge, "--space=null")["peak_in_use_bytes"], 2**62)


if __name__ == "__main__":
    unittest.main()
