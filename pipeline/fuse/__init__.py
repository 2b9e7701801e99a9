"""Findings and a policy become labels: pure functions, no file, no model, no clock.

::

    vocabulary            prompts of a policy, their vectors as matrices
    tags                  image vector → tags
    naming → objects      regions → names; masks of one object → one label
    lines → reading       words → lines → reading order
    texts                 lines → transcriptions with a verdict and an owner
    agreement             where tags and instances contradict each other
    decide                all of it in a row

Every verdict has its reason. Scores are rounded before they are compared, so the number a
reviewer reads is the number that was decided on.
"""

from pipeline.fuse.decide import fuse
from pipeline.fuse.instances import UNNAMED, names_masks
from pipeline.fuse.vocabulary import Vocabulary, prompts_of

__all__ = ["UNNAMED", "Vocabulary", "fuse", "names_masks", "prompts_of"]
