"""Regions inside larger ones of the same class: parts of an object, or members of a group.

Which region lies in which does not depend on thresholds: raising one cannot bring up a label
that was hidden before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.config import RegionPolicy
from pipeline.fuse.naming import Named
from pipeline.fuse.objects import Overlaps
from pipeline.fuse.reasons import doubt, drop, rounded, where
from pipeline.records import Decision, Verdict

_DISJOINT: Final = 0.1
"""Share of the smaller mask that two objects side by side may have in common."""
_GROUP_COVERAGE: Final = 0.5
"""Share of a mask that its members must fill before it counts as a group of them."""
_NOISE: Final = 0.1
"""Difference between two scores of one class that says nothing."""


def resolve_parts(
    named: Sequence[Named], overlaps: Overlaps, own: Sequence[Verdict], policy: RegionPolicy
) -> list[Verdict]:
    """Drop parts in favour of their whole, and groups in favour of their members.

    Only regions of one class are parts of each other: a cup on a table stays a cup. A part whose
    whole is dropped for its score may be all that is left of the object: it stays, for review.

    Args:
        named: N regions, no two of them the same object, best first.
        overlaps: Of the same regions.
        own: What each would be on its own.
        policy: Says how much of a part must lie in its whole.

    Returns:
        N verdicts; what is no part and no group keeps its own.
    """
    front = [at for at, one in enumerate(named) if not one.is_background]
    nest = _Nest([named[at] for at in front], overlaps.only(front), policy.part_containment)
    verdicts = list(own)
    # Wholes first: a region is larger than all that lies in it.
    for at in sorted(range(len(front)), key=lambda i: (-nest.overlaps.area[i], i)):
        verdicts[front[at]] = nest.settle(at, own[front[at]])
    return verdicts


def lies_in(named: Sequence[Named], overlaps: Overlaps, containment: float) -> NDArray[np.bool_]:
    """Tell which region lies in which larger one of the same class: (N, N), [i, j] if i in j."""
    ids = {name: at for at, name in enumerate(sorted({one.class_name for one in named}))}
    classes = np.array([ids[one.class_name] for one in named], dtype=np.intp)
    larger = overlaps.area[:, None] < overlaps.area[None, :]
    same = classes[:, None] == classes[None, :]
    nested: NDArray[np.bool_] = same & larger & (overlaps.inside >= containment)
    return nested


@dataclass(slots=True)
class _Nest:
    """Regions settled one after the other, wholes before their parts.

    Attributes:
        within: From ``lies_in``.
        alive: Regions that become labels.
        roots: Part → the label that it is a part of.
        groups: Regions that are no object.
    """

    named: list[Named]
    overlaps: Overlaps
    containment: float
    within: NDArray[np.bool_] = field(init=False)
    alive: set[int] = field(default_factory=set)
    roots: dict[int, int] = field(default_factory=dict)
    groups: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.within = lies_in(self.named, self.overlaps, self.containment)

    def settle(self, at: int, own: Verdict) -> Verdict:
        """Decide what a region is beside those that it lies in or holds: group, part, or whole."""
        members = self._members(at)
        if members:
            self.groups.add(at)
            return drop(f"a group: {members} regions inside it fit {self._class(at)} as well")
        wholes = [j for j in np.flatnonzero(self.within[at]).tolist() if j not in self.groups]
        root = self._root(wholes)
        if root is not None:
            self.roots[at] = root
            return self._part(at, root)
        if own.decision is not Decision.DROP:
            self.alive.add(at)
        return doubt(own, self._orphan(at)) if wholes else own

    def _class(self, at: int) -> str:
        return f"class {self.named[at].class_name}"

    def _root(self, wholes: list[int]) -> int | None:
        by_size = sorted(wholes, key=lambda j: (-self.overlaps.area[j], j))
        alive = [j for j in by_size if j in self.alive]
        through = [self.roots[j] for j in by_size if j in self.roots]
        return next(iter([*alive, *through]), None)

    def _part(self, at: int, root: int) -> Verdict:
        share, whole = float(self.overlaps.inside[at, root]), self.named[root]
        place = where(whole.region.box)
        return drop(f"part: {share:.0%} of it lies in the {whole.class_name} {place}")

    def _orphan(self, at: int) -> str:
        return f"lies in a dropped region of {self._class(at)} and may be a part of it"

    def _members(self, whole: int) -> int:
        """Count the objects that a region lumps together; 0 if it is one object itself.

        A mask around two cups is a group; a mask around a bicycle, whose wheels also look like
        bicycles, is not. It is a group if at least two regions of its class lie in it, side by
        side, fill half of it, and on average fit the class at least as well as it does.
        """
        score, area = self.named[whole].score, self.overlaps.area
        members: list[int] = []
        for at in np.flatnonzero(self.within[:, whole]).tolist():
            if self.named[at].score >= score - _NOISE and self._beside(at, members):
                members.append(at)
        if len(members) < 2:  # noqa: PLR2004
            return 0
        covered = float(np.sum(self.overlaps.inside[members, whole] * area[members]))
        average = float(np.mean([self.named[at].score for at in members]))
        is_group = covered >= _GROUP_COVERAGE * area[whole] and rounded(average) >= score
        return len(members) if is_group else 0

    def _beside(self, at: int, members: list[int]) -> bool:
        inside = self.overlaps.inside
        shared = np.maximum(inside[at, members], inside[members, at])
        return bool((shared <= _DISJOINT).all())
