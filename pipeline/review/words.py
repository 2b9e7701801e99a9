"""The words of an image as a field of the image, as the App draws no text on a polygon.

Shown under the picture in the grid and beside it when it is open. Derived from ``texts``, never
read back.
"""

from __future__ import annotations

from typing import Any

from pipeline.review.fields import LISTS, REJECTED, TEXTS, WORDS


def declare_words(dataset: Any) -> None:  # noqa: ANN401
    """Add the field to a dataset that has none yet."""
    import fiftyone as fo

    dataset.add_sample_field(
        WORDS, fo.ListField, subfield=fo.StringField, description="Words read in the image"
    )


def show_words(view: Any) -> None:  # noqa: ANN401
    """Bring the words of a view's images up to date."""
    path = LISTS[TEXTS]
    columns = view.values(["id", WORDS, f"{path}.text", f"{path}.review"])
    due = {
        sample: words
        for sample, shown, texts, reviews in zip(*columns, strict=True)
        if (words := _words(texts, reviews)) != (shown or [])
    }
    if due:
        view.set_values(WORDS, due, key_field="id")


def _words(texts: list[str | None] | None, reviews: list[str | None] | None) -> list[str]:
    pairs = zip(texts or (), reviews or (), strict=True)
    return [text for text, review in pairs if text and review != REJECTED]
