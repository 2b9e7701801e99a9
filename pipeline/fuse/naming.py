"""What each region shows: its best class, the runner-up, and how much of it is background."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EngineError
from pipeline.fuse.reasons import rounded
from pipeline.fuse.vocabulary import DECIMALS, Matrix, Vocabulary, softmax
from pipeline.records import Candidate, PooledVectors, Region, RegionVectors


@dataclass(frozen=True, slots=True)
class Named:
    """A region with what the models say of it; nothing is decided yet.

    Attributes:
        region: The mask.
        class_name: Best class.
        score: Its probability, rounded.
        runner_up: Second best class.
        background: Probability of all background prompts together, rounded.
        relevance: Lead of the patches inside over those outside for the best class, rounded; None
            where patches were not asked.
    """

    region: Region
    class_name: str
    score: float
    runner_up: Candidate | None
    background: float
    relevance: float | None = None

    @property
    def is_background(self) -> bool:
        """Whether the background prompts fit better than any class."""
        return self.background >= self.score


def name_regions(
    regions: tuple[Region, ...],
    vectors: RegionVectors,
    vocabulary: Vocabulary,
    masked_weight: float,
) -> list[Named]:
    """Name regions from what their plain and their masked crops look like.

    A region is one thing, so its classes exclude each other: a softmax over the classes, or over
    the classes and every background prompt. That holds for models trained with a sigmoid too;
    their bias cancels out.

    Whether a region is background is asked of the masked crop alone. The plain crop shows the
    surroundings, so background prompts are right about it even where the region is an object.

    The names of the two crops are joined as probabilities, not as vectors or logits. Each then
    weighs no more than its share, however sure it is: a greyed crop is unlike what models were
    trained on and may be sure of nonsense. And where the crops disagree no class gets much more
    than its share, so the region goes to review by itself.

    Args:
        regions: N regions.
        vectors: Of the same regions, in the same order.
        vocabulary: With at least one class for regions.
        masked_weight: Share of the masked crop in the name, in [0, 1].

    Returns:
        N opinions, in the same order.

    Raises:
        EngineError: There are not as many vectors as regions, or they are not as long as those
            of the prompts.

    Source: linear opinion pool, as in Genest & Zidek 1986, section 3.
    """
    for rows in (vectors.cropped, vectors.masked):
        if len(rows) != len(regions):
            raise EngineError(f"{len(regions)} regions, but {len(rows)} region vectors")
    if not regions:
        return []
    positions = vocabulary.for_regions
    n_classes = len(positions)
    cropped = vocabulary.logits(vectors.cropped, positions)
    masked = vocabulary.logits(vectors.masked, positions)
    names = (1.0 - masked_weight) * softmax(cropped[:, :n_classes])
    names += masked_weight * softmax(masked[:, :n_classes])
    ground = softmax(masked)[:, n_classes:].sum(axis=1)
    scores = names * (1.0 - ground[:, None])
    return _opinions(regions, scores, ground, [vocabulary.names[at] for at in positions])


def with_relevance(
    named: list[Named], pooled: PooledVectors, vocabulary: Vocabulary
) -> list[Named]:
    """Add how much more the image speaks for each name inside its region than outside.

    The mean over patches of their product with a text is the product of their mean, so two vectors
    per region hold this for every text. Names are compared with each other, as what all of them
    have in common says "an object" and nothing of which.

    Args:
        named: N regions.
        pooled: Of the same regions, in the same order.
        vocabulary: That named them.

    Raises:
        EngineError: There are not as many vectors as regions, or they are not as long as those
            of the prompts.
    """
    if len(pooled.inside) != len(named):
        raise EngineError(f"{len(named)} regions, but {len(pooled.inside)} pooled vectors")
    if not named:
        return []
    inside, outside = (
        vocabulary.relevance(side, vocabulary.for_regions)
        for side in (pooled.inside, pooled.outside)
    )
    columns = {vocabulary.names[at]: n for n, at in enumerate(vocabulary.for_regions)}
    lead = inside - outside
    return [
        replace(one, relevance=rounded(lead[row, columns[one.class_name]]))
        for row, one in enumerate(named)
    ]


def _opinions(
    regions: tuple[Region, ...], scores: Matrix, ground: Matrix, names: list[str]
) -> list[Named]:
    # Rounded first, so that equal scores fall to the class that the policy names first.
    scores = scores.round(DECIMALS)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    return [
        Named(
            region=region,
            class_name=names[order[0]],
            score=rounded(row[order[0]]),
            runner_up=_runner_up(row, order, names),
            background=rounded(rest),
        )
        for region, row, order, rest in zip(regions, scores, best, ground, strict=True)
    ]


def _runner_up(row: Matrix, order: NDArray[np.intp], names: list[str]) -> Candidate | None:
    return Candidate(names[order[1]], rounded(row[order[1]])) if len(order) > 1 else None
