"""How good the labels of a run are, against truth or against what people made of them.

sides       what is compared: images with labels of truth and of the run
compare     brings a run together with a file of truth, or with what people made of it
objects     boxes, masks and classes
tags        tags of images
texts       lines of text: found, and read
errors      everything that is wrong, worst first
document    evaluation.json
tune        thresholds for the policy, chosen on one half and judged on the other
"""

from pipeline.evaluate.document import EVALUATION, Evaluated, evaluate
from pipeline.evaluate.tune import Goal, Tuned, tune

__all__ = ["EVALUATION", "Evaluated", "Goal", "Tuned", "evaluate", "tune"]
