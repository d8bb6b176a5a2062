"""The command `tenure pack`, run as a user would."""
import csv
import io
import json
import os
import unittest

from cli_testing import CliCase, PACK_KEYS


class PackTest(CliCase):

    def check_packing(self, path, problem_text):
        """The rows of a packed CSV: the problem's, with offsets that do not overlap. Gives the height."""
        with open(path, encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
        given = list(csv.DictReader(io.StringIO(problem_text)))
        self.assertEqual([{k: r[k] for k in given[0]} for r in rows], given)
        boxes = [(int(r["lower"]), int(r["upper"]), int(r["offset"]), int(r["offset"]) + int(r["size"])) for r in rows]
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                self.assertFalse(a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3], (a, b))
        return max(b[3] for b in boxes)

    def test_packs(self):
        problem = self.write("p.csv", self.PROBLEM)
        for effort in ["fast", "balanced", "optimal"]:
            out = self.json("pack", "--input=" + problem, "--effort=" + effort, "--output=" + self.path("o.csv"))
            self.assertEqual(list(out), PACK_KEYS)
            self.assertEqual((out["status"], out["height"], out["lower_bound"], out["items"], out["deadline_hit"]),
                             ("optimal", 12, 12, 5, False))
            self.assertEqual(self.check_packing(self.path("o.csv"), self.PROBLEM), 12)
        self.assertIn("5 items: optimal, height 12", self.tenure("pack", "--input=" + problem))
        out = self.json("pack", "--input=" + problem, "--output=" + self.path("o.json"))
        self.assertEqual(json.loads(self.read("o.json"))["height"], out["height"])

    def test_statuses(self):
        problem = self.write("p.csv", self.PROBLEM)
        out = self.json("pack", "--input=" + problem, "--capacity=12")
        self.assertIn(out["status"], ("optimal", "feasible"))
        self.assertEqual(out["capacity"], 12)
        out = self.json("pack", "--input=" + problem, "--capacity=11", "--output=" + self.path("o.csv"), status=3,
                        warns=True)
        self.assertIn("o.csv was not written", self.stderr)
        self.assertEqual((out["status"], out["height"], out["lower_bound"]), ("infeasible", None, 12))
        self.assertFalse(os.path.exists(self.path("o.csv")))
        self.assertIn("infeasible", self.tenure("pack", "--input=" + problem, "--capacity=0", status=3))
        # A problem that can be packed without a gap, which greedy placing does not find.
        hard = self.write("hard.csv", self.puzzle(400))
        low = self.json("pack", "--input=" + hard, "--effort=fast")
        self.assertEqual((low["status"], low["lower_bound"]), ("feasible", 1 << 20))
        self.assertGreater(low["height"], 1 << 20)
        out = self.json("pack", "--input=" + hard, "--effort=fast", "--capacity=1MiB", status=4)
        self.assertEqual((out["status"], out["height"]), ("none", None))
        out = self.json("pack", "--input=" + hard, "--effort=optimal", "--deadline=0s", "--capacity=1MiB", status=4)
        self.assertEqual((out["status"], out["deadline_hit"]), ("none", True))

    def test_what_does_not_fit_is_explained(self):
        problem = self.write("p.csv", self.PROBLEM)
        why = self.json("pack", "--input=" + problem, "--capacity=11", status=3)["explanation"]
        self.assertEqual((why["capacity"], why["lower_bound"], why["proven"], why["irreducible"]), (11, 12, True, True))
        self.assertEqual(why["peak"], {"bytes": 12, "first": 0, "last": 3, "items": [
            {"id": "b1", "size": 4, "first": 0, "last": 3}, {"id": "b3", "size": 4, "first": 0, "last": 9},
            {"id": "b5", "size": 4, "first": 0, "last": 21}]})
        self.assertEqual([i["id"] for i in why["conflict"]], ["b1", "b3", "b5"])
        text = self.tenure("pack", "--input=" + problem, "--capacity=11", status=3)
        self.assertIn("Peak of 12 bytes at [0, 3), 3 items live:\n  b1: 4 bytes", text)
        self.assertIn("These 3 cannot be packed together; without any one of them the others can:\n  b1", text)
        # Proven by search alone: the two that overlap are fixed apart, and what lives with both fits nowhere.
        fixed = self.write("f.csv", "id,lower,upper,size,offset\na,0,4,4,0\nb,4,8,4,8\nc,3,5,4,\nd,8,9,5,\n")
        why = self.json("pack", "--input=" + fixed, "--capacity=12", "--effort=optimal")
        self.assertNotIn("explanation", why)
        fixed = self.write("f.csv", "id,lower,upper,size,offset\na,0,4,4,2\nb,4,8,4,6\nc,3,5,4,\nd,8,9,5,\n")
        why = self.json("pack", "--input=" + fixed, "--capacity=11", "--effort=optimal", status=3)["explanation"]
        self.assertEqual(([i["id"] for i in why["conflict"]], why["irreducible"]), (["a", "b", "c"], True))
        # Limits of arenas.
        arenas = self.write("a.json", json.dumps({"items": [{"first": 0, "last": 2, "size": 5}] * 3,
                                                  "arenas": [{"limit": 6}, {"limit": 7}]}))
        out = self.json("pack", "--input=" + arenas, status=3)
        self.assertEqual(len(out["explanation"]["conflict"]), 3)
        self.assertIn("limits of the 2 arenas", self.tenure("pack", "--input=" + arenas, status=3))
        # Neither packed nor refuted: the peak, and no conflict.
        hard = self.write("hard.csv", self.puzzle(400))
        out = self.json("pack", "--input=" + hard, "--effort=fast", "--capacity=1MiB", status=4)
        self.assertEqual((out["explanation"]["proven"], out["explanation"]["conflict"]), (False, []))
        self.assertEqual(out["explanation"]["peak"]["bytes"], 1 << 20)
        self.assertIn("were not packed", self.tenure("pack", "--input=" + hard, "--effort=fast", "--capacity=1MiB",
                                                     "--explain=0s", status=4))

    def test_the_solver_is_exposed(self):
        hard = self.write("hard.csv", self.puzzle(300))
        out = self.json("pack", "--input=" + hard, "--effort=optimal", "--max-nodes=0", "--compare")
        self.assertEqual((out["nodes"], out["status"]), (0, "feasible"))
        self.assertAlmostEqual(out["gap_percent"], 100 * (out["height"] / out["lower_bound"] - 1), places=3)
        self.assertEqual(out["heights"], [out["height"]])
        self.assertGreater(out["tlsf_height"], out["height"])
        self.assertGreater(out["greedy_by_size_height"], out["lower_bound"])
        text = self.tenure("pack", "--input=" + hard, "--compare")
        self.assertIn("TLSF (as tinygrad, svod)       %d, 1." % out["tlsf_height"], text)
        nodes = {self.json("pack", "--input=" + hard, "--effort=optimal", "--max-nodes=3000", "--rules=" + rules)["nodes"]
                 for rules in ["+all", "-all", "-dominance,-stacks"]}
        self.assertGreater(len(nodes), 1)
        hints = self.write("h.csv", "id,lower,upper,size,hint\na,0,2,8,\nb,0,2,8,0\nc,2,4,8,4\nd,2,4,8,100\n")
        for policy, honoured in [("prefer", 1), ("keep", 3)]:
            out = self.json("pack", "--input=" + hints, "--hints=" + policy)
            self.assertEqual((out["hints_given"], out["hints_honoured"]), (3, honoured), policy)
        self.assertIn("hints honoured                 3 of 3", self.tenure("pack", "--input=" + hints, "--hints=keep"))
        fixed = self.write("f.csv", "id,lower,upper,size,offset\na,0,2,8,8\n")
        self.assertIsNone(self.json("pack", "--input=" + fixed, "--compare")["tlsf_height"])

    def test_what_only_json_says(self):
        problem = {"items": [{"first": 0, "last": 4, "size": 8}, {"first": 0, "last": 4, "size": 8},
                             {"first": 2, "last": 6, "size": 8}],
                   "arenas": [{"limit": 16}, {}], "bindings": [[2, 1]], "adjacent": [[1, 0]]}
        path = self.write("p.json", json.dumps(problem))
        out = self.json("pack", "--input=" + path, "--output=" + self.path("o.json"))
        self.assertEqual((out["height"], out["heights"]), (24, [16, 8]))
        packing = json.loads(self.read("o.json"))
        self.assertEqual((packing["offsets"], packing["arena_of"]), ([8, 0, 0], [0, 0, 1]))
        self.assertIn("heights of the arenas          16, 8", self.tenure("pack", "--input=" + path))
        self.fails("pack", "--input=" + path, "--output=" + self.path("o.csv"), naming=["o.csv", "JSON"])
        order = {"items": [{"first": 0, "last": 1, "size": 8}] * 3,
                 "order": {"steps": 3, "edges": [[0, 1]], "uses": [[0, 0], [1, 1], [2, 2]]}}
        out = self.json("pack", "--input=" + self.write("q.json", json.dumps(order)), "--effort=optimal")
        self.assertEqual(out["height"], 16)
        # What CSV can say is written as CSV if asked for.
        plain = self.write("r.json", json.dumps({"items": [{"first": 0, "last": 4, "size": 8, "alignment": 4}]}))
        self.tenure("pack", "--input=" + plain, "--output=" + self.path("o.csv"))
        self.assertEqual(self.read("o.csv"), "id,lower,upper,size,alignment,offset\n0,0,4,8,4,0\n")

    def test_coming_from_minimalloc(self):
        """The columns, the capacity and the output are theirs."""
        given = ("buffer_id,start,end,size,alignment,gaps\n"
                 "b1,0,2,4,4,\nb2,3,8,4,1,4-5\nb3,0,8,4,2,2-3@0:2 6-6\nb4,9,20,4,1,\n")
        path = self.write("p.csv", given)
        self.tenure("pack", "--capacity=12", "--input=" + path, "--output=" + self.path("o.csv"))
        rows = list(csv.DictReader(io.StringIO(self.read("o.csv"))))
        self.assertEqual(list(rows[0]), given.split("\n")[0].split(",") + ["offset"])
        self.assertTrue(all(int(r["offset"]) % int(r["alignment"]) == 0 for r in rows))

    def test_odd_forms_of_csv(self):
        forms = {
            "crlf": ("id,lower,upper,size\r\na,0,2,8\r\nb,1,3,8\r\n", 16),
            "blank lines, no end": ("\nid,lower,upper,size\n\na,0,2,8\n\nb,1,3,8", 16),
            "order": ("size,note,upper,id,lower\n8,x,2,a,0\n8,y,3,b,1\n", 16),
            "inclusive": ("id,start,end,size\na,0,1,8\nb,2,3,8\n", 8),
            "quoted": ('id,lower,upper,size\n"a ""1"", x",0,2,8\n', 8),
            "nothing": ("id,lower,upper,size\n", 0),
            "empty item": ("id,lower,upper,size\na,0,2,0\n", 0),
            "negative times": ("id,lower,upper,size\na,-5,-2,8\n", 8),
            "fixed": ("id,lower,upper,size,offset\na,0,2,8,100\nb,0,2,8,-1\n", 108),
            "alignment": ("id,lower,upper,size,alignment\na,0,2,8,\nb,0,2,8,64\n", 16),
        }
        for name, (text, height) in forms.items():
            out = self.json("pack", "--input=" + self.write("f.csv", text), "--output=" + self.path("o.csv"))
            self.assertIn(out["status"], ("optimal", "feasible"), name)
            self.assertLessEqual(out["height"], max(height, 72), name)
            self.assertGreaterEqual(out["height"], height, name)
            written = self.read("o.csv")
            self.assertIn("offset", written.lstrip().splitlines()[0], name)
            again = self.json("pack", "--input=" + self.path("o.csv"))
            self.assertEqual(again["height"], out["height"], name)

    def test_columns_that_are_nearly_known_are_doubted(self):
        path = self.write("p.csv", "id,lower,upper,size,aligment,note\na,0,1,8,64,x\n")
        self.tenure("pack", "--input=" + path, warns=True)
        self.assertIn("p.csv: the column 'aligment' means nothing", self.stderr)
        self.assertIn("'alignment' meant?", self.stderr)
        self.assertNotIn("note", self.stderr)

    def test_a_search_that_gives_up_says_why(self):
        problem = ('{"items": [{"first": 0, "last": 2, "size": 3, "alignment": 8},'
                   ' {"first": 0, "last": 2, "size": 3, "alignment": 8}, {"first": 3, "last": 5, "size": 1},'
                   ' {"first": 4, "last": 5, "size": 1}], "adjacent": [[2, 3]]}')
        args = ["pack", "--input=" + self.write("p.json", problem), "--effort=optimal"]
        why = "exact search does not support items next to each other"
        out = self.json(*args)
        self.assertEqual((out["status"], out["deadline_hit"], out["search_limit"]), ("feasible", False, why))
        self.assertIn(why, self.tenure(*args))
        self.assertNotIn("search_limit", self.json(*args, "--capacity=11"))

    def test_many_arenas_are_not_all_printed(self):
        path = self.write("p.csv", "id,lower,upper,size,arena\na,0,1,8,4095\n")
        self.assertIn(", 0, and 4080 more (--json: all)\n", self.tenure("pack", "--input=" + path))
        self.assertEqual(len(self.json("pack", "--input=" + path)["heights"]), 4096)

    def test_bad_problems(self):
        head = "id,lower,upper,size\n"
        huge = str(1 << 64)
        cases = {
            "": ["line 1"],
            "\n\n": ["line"],
            "id,lower,upper\na,0,1\n": ["size"],
            "id,lower,upper,size,size\na,0,1,1,1\n": ["size"],
            head + "a,2,2,8\n": ["line 2", "2"],
            head + "a,0,1,8\nb,5,3,8\n": ["line 3", "5", "3"],
            head + "a,0,1,-8\n": ["line 2", "-8"],
            head + "a,0,1,1.5\n": ["line 2", "1.5"],
            head + "a,0,1\n": ["line 2"],
            head + "a,0,1,8,9\n": ["line 2"],
            head + "a,x,1,8\n": ["line 2", "x"],
            head + "a,0,1,%s\n" % huge: ["line 2", huge],
            head + "a,0,%s,1\n" % huge: ["line 2", huge],
            head + "a,0,1,%d\nb,0,1,%d\n" % ((1 << 64) - 1, (1 << 64) - 1): [],
            head + '"a,0,1,8\n': ["line 2"],
            "id,lower,upper,size,alignment\na,0,1,8,0\n": ["line 2", "alignment"],
        }
        for text, naming in cases.items():
            path = self.write("bad.csv", text)
            self.fails("pack", "--input=" + path, naming=["bad.csv"] + naming)
            self.fails("render", "--input=" + path, "--output=" + self.path("o.svg"), naming=["bad.csv"])
        for text in ["", "[]", "{}", '{"items": 5}', '{"items": [{"first": 0, "last": 0, "size": 1}]}',
                     '{"items": [{"first": 0, "last": 1, "size": -1}]}', "{" * 100000]:
            self.fails("pack", "--input=" + self.write("bad.json", text), naming=["bad.json"])
        for garbage in [bytes(range(256)) * 20, b"\0" * 100, b"\xff\xfe" * 50]:
            self.fails("pack", "--input=" + self.write("bad.csv", garbage), naming=["bad.csv"])


if __name__ == "__main__":
    unittest.main()
