"""Schedules and plans: what a compiler knows about its buffers, and where they go."""

from __future__ import annotations

import os
from typing import Any, Dict, Hashable, Iterable, List, NamedTuple, Optional, Tuple, Union

from . import _errors, _tenure
from ._tenure import Buffer

_PLACEMENTS = {"own": 0, "reused": 1, "arena": 2}


class Step(NamedTuple):
    """One step of a schedule."""

    name: str
    reads: Tuple[Hashable, ...]
    writes: Tuple[Hashable, ...]
    payload: Any  # what the program gave with it; the library does not look at it
    queue: int


class Placement(NamedTuple):
    """Where a plan has put the storage of a key."""

    placed: bool  # False: it keeps memory of its own, because of `reason`
    arena: int
    offset: int  # in the arena; of a view: of its window
    size: int
    first_step: int  # it lives from this step to the last one, both included
    last_step: int
    reason: str  # "planned", "input", "output", ...


class Arena(NamedTuple):
    """One allocation of a plan."""

    space: str
    size: int
    alignment: int
    queue: int
    memory_of: Optional[Hashable]  # it is the memory of this key, and not a new allocation


class Schedule:
    """Steps, and the storages that they read and write, by keys of your own: names, numbers, nodes of an IR.

    >>> import tenure
    >>> s = tenure.Schedule("mlp")
    >>> for key in ("x", "h1", "h2", "y"):
    ...     s.add(key, 1024)
    >>> s.input("x")
    >>> s.output("y")
    >>> s.step("first", reads=["x"], writes=["h1"])
    0
    >>> s.step("second", reads=["h1"], writes=["h2"], in_place=[("h1", "h2")])
    1
    >>> s.step("third", reads=["h2"], writes=["y"])
    2
    >>> plan = s.plan()
    >>> plan.arena_bytes, plan.offset("h1"), plan.offset("h2")
    (1024, 0, 0)

    With order="total" the steps have the effect of running one after the other. With order="dependencies" only
    `after` orders them.
    """

    def __init__(self, name: str = "", order: str = "total") -> None:
        if order not in ("total", "dependencies"):
            raise _errors.InvalidArgument("there is no order '%s'; it is 'total' or 'dependencies'" % order)
        self.name = name
        self.steps: List[Step] = []
        self._handle = _tenure.Schedule.create(name, order == "total")
        self._numbers: Dict[Hashable, int] = {}
        self._keys: List[Hashable] = []

    @classmethod
    def from_trace(cls, path: Union[str, os.PathLike], space: str = "cpu") -> Schedule:
        """A recorded schedule, as the command `tenure` reads it: JSON, or JSON in gzip. The keys are its ids."""
        self = cls.__new__(cls)
        self.name = os.path.basename(os.fspath(path))
        self.steps = []  # the steps of a trace are the library's alone
        self._handle = _tenure.Schedule.from_trace(os.fspath(path), space)
        known = self._handle.keys()
        self._numbers = {key: key for key in known}
        self._keys = list(range(max(known, default=-1) + 1))
        return self

    def keys(self) -> List[Hashable]:
        """The keys, in the order in which they were added."""
        return list(self._numbers)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._numbers

    def _number(self, key: Hashable) -> int:
        try:
            return self._numbers[key]
        except KeyError:
            raise _errors.NotFound("the schedule has no key %r; add it first" % (key,)) from None

    def _new(self, key: Hashable) -> int:
        if key in self._numbers:
            raise _errors.AlreadyExists("the schedule has the key %r already" % (key,))
        return len(self._keys)

    def _added(self, key: Hashable) -> None:
        self._numbers[key] = len(self._keys)
        self._keys.append(key)

    def add(
        self,
        key: Hashable,
        nbytes: int,
        space: str = "cpu",
        name: Optional[str] = None,
        alignment: int = 0,
        zeroed: bool = False,
    ) -> None:
        """Adds a storage, which may be planned.

        The machine need not have the space if the schedule is only planned. The name is for errors and pictures.
        """
        number = self._new(key)
        self._handle.add_storage(number, space, nbytes, str(key) if name is None else name, alignment, zeroed)
        self._added(key)

    def add_buffer(self, key: Hashable, buffer: Buffer) -> None:
        """Adds a buffer that exists. It keeps memory of its own."""
        number = self._new(key)
        self._handle.add_buffer(number, buffer)
        self._added(key)

    def view(self, key: Hashable, of: Hashable, offset: int, nbytes: int) -> None:
        """Adds a window of another key's bytes, such as a view of a tensor."""
        number = self._new(key)
        self._handle.add_view(number, self._number(of), offset, nbytes)
        self._added(key)

    def step(
        self,
        name: str = "",
        reads: Iterable[Hashable] = (),
        writes: Iterable[Hashable] = (),
        after: Iterable[int] = (),
        in_place: Iterable[Tuple[Hashable, Hashable]] = (),
        queue: int = 0,
        payload: Any = None,
    ) -> int:
        """Adds a step, and returns its number: 0, 1, ...

        `after` has numbers of earlier steps, with order="dependencies". `in_place` has pairs of a read and a write:
        permission for the write to have the bytes of the read. `payload` is kept in `steps`.
        """
        reads, writes = tuple(reads), tuple(writes)
        pairs = list(in_place)
        for read, write in pairs:
            if read not in reads or write not in writes:
                raise _errors.InvalidArgument(
                    "in_place has the pair %r, and the step does not read the one and write the other" % ((read, write),)
                )
        number = self._handle.add_step(
            name,
            [self._number(key) for key in reads],
            [self._number(key) for key in writes],
            list(after),
            [reads.index(read) for read, _ in pairs],
            [writes.index(write) for _, write in pairs],
            queue,
        )
        self.steps.append(Step(name, reads, writes, payload, queue))
        return number

    def input(self, key: Hashable, donated: bool = False) -> None:
        """Has its contents before the first step. If it is donated, others may have its bytes after its last use."""
        self._handle.mark_input(self._number(key), donated)

    def output(self, key: Hashable, placement: str = "own") -> None:
        """Is read after the last step.

        "own": it has memory of its own; "reused": that, which intermediates may use before the output is written;
        "arena": it lies in the arena, which is then kept as long as the output is.
        """
        if placement not in _PLACEMENTS:
            raise _errors.InvalidArgument("there is no placement '%s'; it is 'own', 'reused' or 'arena'" % placement)
        self._handle.mark_output(self._number(key), _PLACEMENTS[placement])

    def buffer(self, key: Hashable, dtype: object = None, shape: object = None) -> Buffer:
        """The bytes of a key as a buffer: a vector of uint8, or a view of it with a dtype and a shape.

        While a plan is placed, they lie in its arena.
        """
        made = self._handle.buffer(self._number(key))
        return made if dtype is None and shape is None else made.view(dtype, shape)

    def plan(self, **options: Any) -> Plan:
        """Finds a place for every storage that the schedule alone uses.

        capacity      the most bytes of the arenas of a space; OutOfMemory if it is proven that nothing fits
        effort        "fast", "balanced" or "optimal"
        mode          "arena", "remap" (storages reuse whole dead ones) or "none"
        alignment     of every placement (64)
        in_place      use the permissions of the steps (True)
        fill_zeroed   plan storages that read as zeros at first, and say in `fills` when to fill them (False)
        threads, timeout (seconds), max_nodes (of exact search)
        """
        return Plan(self, self._handle.plan(options))

    def explain(self, capacity: int, **options: Any) -> str:
        """Why the schedule does not fit into a capacity, in lines for people. It says so where it fits."""
        return self._handle.explain(dict(options, capacity=capacity))

    def trace(self) -> str:
        """The schedule as a trace, which the command `tenure` reads."""
        return self._handle.trace()

    def __repr__(self) -> str:
        return "<tenure.Schedule '%s': %d keys>" % (self.name, len(self._numbers))


class Plan:
    """Where the storages of a schedule lie. Schedule.plan makes it."""

    def __init__(self, schedule: Schedule, handle: Any) -> None:
        self.schedule = schedule
        self._handle = handle
        self._info = handle.info()

    @classmethod
    def load(cls, schedule: Schedule, source: Union[str, os.PathLike]) -> Plan:
        """Reads a plan from a file, or from JSON text, and checks that it is right for the schedule."""
        text = source
        if not isinstance(source, str) or not source.lstrip().startswith("{"):
            with open(source, encoding="utf-8") as file:
                text = file.read()
        return cls(schedule, schedule._handle.load_plan(text))

    @property
    def arena_bytes(self) -> int:
        """Of all arenas."""
        return self._info["arena_bytes"]

    @property
    def unplanned_bytes(self) -> int:
        """What the placed storages would take without the plan."""
        return self._info["unplanned_bytes"]

    @property
    def lower_bound_bytes(self) -> int:
        """Proven: no plan takes less."""
        return self._info["lower_bound_bytes"]

    @property
    def optimal(self) -> bool:
        return self._info["optimal"]

    @property
    def timed_out(self) -> bool:
        return self._info["timed_out"]

    def placement(self, key: Hashable) -> Placement:
        """Where a key lies and when it lives. NotFound for one that no step uses."""
        number = self.schedule._number(key)
        try:
            return Placement(*self._handle.find(number))
        except _errors.NotFound:
            raise _errors.NotFound("no step of the schedule uses the key %r" % (key,)) from None

    def offset(self, key: Hashable) -> Optional[int]:
        """The offset in its arena; None for a key that keeps memory of its own."""
        placement = self.placement(key)
        return placement.offset if placement.placed else None

    @property
    def arenas(self) -> List[Arena]:
        made = []
        for index in range(self._info["arenas"]):
            *rest, key = self._handle.arena(index)
            made.append(Arena(*rest, memory_of=None if key is None else self.schedule._keys[key]))
        return made

    @property
    def fills(self) -> List[Tuple[int, Hashable]]:
        """(step, key): right before the step, the key's storage must be filled with zeros."""
        made = (self._handle.fill(index) for index in range(self._info["fills"]))
        return [(step, self.schedule._keys[key]) for step, key in made]

    @property
    def reuse_edges(self) -> List[Tuple[int, int]]:
        """(before, after), for programs that run steps at the same time: the one must be over before the other."""
        return [self._handle.reuse_edge(index) for index in range(self._info["reuse_edges"])]

    @property
    def in_place(self) -> List[Tuple[int, Hashable, Hashable]]:
        """(step, read, write): at the step, the write has the bytes of the read."""
        keys = self.schedule._keys
        made = (self._handle.in_place(index) for index in range(self._info["in_place"]))
        return [(step, keys[read], keys[write]) for step, read, write in made]

    def summary(self) -> str:
        """A few lines for people."""
        return self._handle.summary()

    def to_json(self) -> str:
        """The plan as JSON, for Plan.load and the command `tenure`."""
        return self._handle.json()

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Writes to_json() to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.to_json() + "\n")

    def to_html(self, path: Union[str, os.PathLike, None] = None) -> str:
        """A page that draws the plan. It is also written to a file, if a path is given."""
        page = self._handle.html(self.schedule._handle)
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(page)
        return page

    def place(self, arena: Optional[Buffer] = None) -> Placed:
        """Gives the storages their bytes: in new arenas, or in a buffer that is large and aligned enough.

        with plan.place():
            y = schedule.buffer("y", "float32", (4, 4))
            ...
        """
        return Placed(self, self._handle.place(self.schedule._handle, arena))

    def __repr__(self) -> str:
        return "<tenure.Plan of '%s': %d bytes, lower bound %d%s>" % (
            self.schedule.name,
            self.arena_bytes,
            self.lower_bound_bytes,
            ", optimal" if self.optimal else "",
        )


class Placed:
    """A plan whose storages have their bytes, until `unplace` or the end of the `with` block."""

    def __init__(self, plan: Plan, handle: Any) -> None:
        self.plan = plan
        self._handle = handle

    @property
    def arenas(self) -> List[Buffer]:
        """The arenas, as buffers of uint8."""
        if self._handle is None:
            return []
        return [self._handle.arena(index) for index in range(self.plan._info["arenas"])]

    def unplace(self) -> None:
        """Takes the bytes away again, after which the plan can be placed anew.

        Nothing may be using them: FailedPrecondition while an array or a tensor that may write to them lives. Drop
        it, and call this again.
        """
        if self._handle is not None:
            self._handle.unplace()
            self._handle = None

    def __enter__(self) -> Placed:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self.unplace()
        except _errors.Error:
            if error is None:  # else the frames of that error may still hold arrays, and it is the one to tell
                raise


def plan_trace(path: Union[str, os.PathLike], space: str = "cpu", **options: Any) -> Plan:
    """Plans a recorded schedule, as `tenure plan --trace=FILE` does: JSON, or JSON in gzip.

    Options are those of Schedule.plan. Keys are the ids of the trace's buffers, `schedule` is its schedule.
    """
    return Schedule.from_trace(path, space).plan(**options)
