"""Which image is trained on and which is tested with: fair, without leaks, and for ever.

Images of one group (near duplicates) stay together. An image that once had a split keeps it, so a
test set never turns into training data when images are added; a group takes the split that most of
its members already have. New groups are dealt out so that every class reaches its share in every
split, rare classes first. Pure: the same groups and memory give the same answer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.errors import ConfigError

NAMES: Final = ("train", "val", "test")
_WHOLE: Final = 100


@dataclass(frozen=True, slots=True)
class Member:
    """An image to be dealt.

    Attributes:
        key: sha256 of its bytes.
        classes: Names of its labels, each once.
    """

    key: str
    classes: frozenset[str]


def check_shares(shares: Sequence[int]) -> None:
    """Check shares in percent.

    Raises:
        ConfigError: There are not two or three of them, one is below 1, or they are not 100.
    """
    if len(shares) not in {2, 3} or min(shares, default=0) < 1 or sum(shares) != _WHOLE:
        got = ",".join(map(str, shares))
        raise ConfigError(
            f"--split {got}: expected two or three whole percentages that add up to 100, "
            f"train,val[,test], e.g. 80,10,10; got {len(shares)} that add up to {sum(shares)}"
        )


def deal(
    groups: Sequence[Sequence[Member]], shares: Sequence[int], known: Mapping[str, str]
) -> dict[str, str]:
    """Give every image a split.

    Args:
        groups: Images that must stay together; every image in exactly one group.
        shares: Percentages of train, val and, if three, test.
        known: Image → split of images that were dealt before; they keep it.

    Returns:
        Image → split, for all images of ``groups``.

    Source: iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011), dealing
    groups instead of images; ties go by hash, so that chance and the order of images are out.
    """
    names = NAMES[: len(shares)]
    splits = {m.key: known[m.key] for group in groups for m in group if known.get(m.key) in names}
    desire = _Desire(groups, dict(zip(names, shares, strict=True)))
    waiting: list[Sequence[Member]] = []
    for group in groups:
        settled = Counter(splits[member.key] for member in group if member.key in splits)
        if settled:
            home = min(settled, key=lambda name: (-settled[name], names.index(name)))
            for member in group:
                desire.take([member], splits.setdefault(member.key, home))
        else:
            waiting.append(sorted(group, key=lambda member: member.key))
    for group in _rarest_first(waiting):
        name = desire.neediest(group)
        desire.take(group, name)
        splits.update({member.key: name for member in group})
    return splits


def spread(groups: Sequence[Sequence[Member]], splits: Mapping[str, str]) -> int:
    """Count groups that lie in several splits: images that were dealt before they met."""
    return sum(len({splits[member.key] for member in group}) > 1 for group in groups)


def _rarest_first(groups: Sequence[Sequence[Member]]) -> list[Sequence[Member]]:
    """Order groups by their rarest class, large groups first: what is hard to place goes first."""
    times = Counter(name for group in groups for member in group for name in member.classes)

    def turn(group: Sequence[Member]) -> tuple[int, str, int, str]:
        """Order groups: rarest class first, then the largest, then by hash."""
        names = {name for member in group for name in member.classes}
        rarest = min(((times[name], name) for name in names), default=(len(groups) + 1, ""))
        chance = hashlib.sha256(group[0].key.encode()).hexdigest()
        return (*rarest, -len(group), chance)

    return sorted(groups, key=turn)


class _Desire:
    """How many images, and images of each class, every split still wants."""

    def __init__(self, groups: Sequence[Sequence[Member]], shares: Mapping[str, int]) -> None:
        members = [member for group in groups for member in group]
        classes = Counter(name for member in members for name in member.classes)
        self._images = {name: share * len(members) / _WHOLE for name, share in shares.items()}
        self._classes = {
            name: {label: share * times / _WHOLE for label, times in classes.items()}
            for name, share in shares.items()
        }

    def take(self, members: Sequence[Member], split: str) -> None:
        """Note that these images went to a split."""
        self._images[split] -= len(members)
        for member in members:
            for label in member.classes:
                self._classes[split][label] -= 1

    def neediest(self, group: Sequence[Member]) -> str:
        """The split that lacks most of the group's rarest class; of equal ones, most images."""
        labels = {label for member in group for label in member.classes}
        wanted = {label: sum(of[label] for of in self._classes.values()) for label in labels}
        rarest = min(labels, key=lambda label: (wanted[label], label), default=None)

        def need(split: str) -> tuple[float, float, str]:
            """Measure how much a split lacks; of equal ones the hash decides."""
            lack = 0.0 if rarest is None else self._classes[split][rarest]
            chance = hashlib.sha256(f"{split} {group[0].key}".encode()).hexdigest()
            return round(lack, 9), round(self._images[split], 9), chance

        return max(self._images, key=need)
