"""Packing: buffers with lifetimes in, offsets out."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Union

from . import _tenure

_OUTCOMES = ("none", "feasible", "optimal", "infeasible")


class Packing(NamedTuple):
    """The answer of tenure.pack."""

    offsets: Optional[Sequence[int]]  # an array of numpy where it is installed; None: nothing was found
    height: int  # the largest offset + size
    lower_bound: int  # proven: no packing is lower
    outcome: str  # "optimal", "feasible", "infeasible" (proven: nothing fits), "none"
    timed_out: bool


def pack(
    first: Sequence[int],
    last: Sequence[int],
    size: Sequence[int],
    alignment: Union[int, Sequence[int], None] = None,
    fixed: Optional[Sequence[Optional[int]]] = None,
    capacity: Optional[int] = None,
    effort: str = "balanced",
    timeout: Optional[float] = None,
    threads: int = 1,
    max_nodes: Optional[int] = None,
) -> Packing:
    """Finds offsets, so that no two buffers that live at the same time share a byte.

    A buffer lives during [first, last) and takes `size` bytes at a multiple of its alignment (1, one for all, or one
    for each). `fixed` has offsets that buffers must have, or None for those that are free. Without a capacity the
    packing gets as low as possible. That nothing fits into a capacity is an outcome and no error.

    effort is "fast", "balanced", or "optimal": until the answer is proven, or the timeout (in seconds) or the nodes
    are used up. Arrays of 64-bit integers are not copied. Other threads of Python run meanwhile.

    >>> import tenure
    >>> answer = tenure.pack(first=[0, 1, 2], last=[2, 3, 4], size=[64, 32, 64])
    >>> answer.height, answer.outcome, [int(offset) for offset in answer.offsets]
    (96, 'optimal', [0, 64, 0])
    """
    found, height, lower_bound, outcome, timed_out = _tenure.pack(
        first, last, size, alignment, fixed, capacity, effort, timeout, threads, max_nodes
    )
    offsets = None
    if _OUTCOMES[outcome] in ("feasible", "optimal"):
        offsets = memoryview(found).cast("Q")
        try:
            import numpy

            offsets = numpy.asarray(offsets)
        except ImportError:
            pass
    return Packing(offsets, height, lower_bound, _OUTCOMES[outcome], timed_out)
