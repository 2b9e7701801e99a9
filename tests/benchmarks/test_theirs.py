"""Other people's ways to the same masks: they must do the same work, or a time says nothing."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.models, pytest.mark.slow]


def test_converted_weights_give_the_librarys_logits() -> None:
    from benchmarks.sam.converted import converted, largest_difference
    from benchmarks.sam.models import TINY, model_of
    from pipeline.synthetic import make_scene

    model, other = model_of(TINY), model_of(TINY)
    image = make_scene(5201).image
    assert largest_difference(model, converted(model), image) < 1e-5
    other.mask_decoder.mask_tokens.weight.data[1] += 0.1
    assert largest_difference(model, converted(other), image) > 1e-3


@pytest.mark.filterwarnings("ignore")  # those of the libraries, imported here as they are
@pytest.mark.parametrize("name", ["FiftyOne", "transformers"])
def test_arms_of_others_answer_as_the_scene_says(name: str) -> None:
    from benchmarks.sam.arms import STOCK
    from benchmarks.sam.equality import agree
    from benchmarks.sam.measure import scene_work
    from benchmarks.sam.models import HOLLOW
    from benchmarks.sam.theirs import arm_of

    work = scene_work(HOLLOW, (192, 256), 4, models=False)
    arm = arm_of(name, work)
    agreement = agree(arm_of(STOCK, work).run(), arm.run())
    assert agreement.masks == agreement.found == agreement.byte_equal > 0
    assert arm.excluded.cpu > 0
