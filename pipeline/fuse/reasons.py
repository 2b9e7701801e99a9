"""Sentences for verdicts. A reviewer reads them, so numbers never contradict the decision."""

from __future__ import annotations

from typing import Final

from pipeline.fuse.vocabulary import DECIMALS
from pipeline.records import Box, Decision, Verdict

_FEW: Final = 2


def rounded(value: float) -> float:
    """A score as it is decided on and written."""
    return round(float(value), DECIMALS)


def against(score: float, limit: float) -> str:
    """Put a score beside its limit: ``0.62 >= 0.50``, with the digits it takes to see why."""
    sign = ">=" if score >= limit else "<"
    digits = _FEW
    while f"{score:.{digits}f}" == f"{limit:.{digits}f}" and score != limit and digits < DECIMALS:
        digits += 1
    return f"{score:.{digits}f} {sign} {limit:.{digits}f}"


def where(box: Box) -> str:
    """Say where something is, for a person who looks at the image."""
    return f"at x {box.x:g}, y {box.y:g} ({box.width:g} x {box.height:g} px)"


def accept(reason: str) -> Verdict:
    """Into the dataset."""
    return Verdict(Decision.ACCEPT, reason)


def review(*reasons: str) -> Verdict:
    """To a person first; several reasons are all told."""
    return Verdict(Decision.REVIEW, "; ".join(reasons))


def drop(reason: str) -> Verdict:
    """Not into the dataset."""
    return Verdict(Decision.DROP, reason)


def doubt(verdict: Verdict, reason: str) -> Verdict:
    """Send a label to review for one more reason; dropped labels stay dropped."""
    match verdict.decision:
        case Decision.ACCEPT:
            return review(reason)
        case Decision.REVIEW:
            return review(verdict.reason, reason)
        case Decision.DROP:
            return verdict
