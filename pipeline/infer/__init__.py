"""Ask every stage about every image once, and remember the answers.

``stages`` says what a stage is and when an old answer still holds; ``questions`` puts one stage's
question to an engine and survives its failures; ``loop`` overlaps decoding, models and writing.
"""

from pipeline.infer.engines import Engines
from pipeline.infer.loop import InferReport, StageReport, infer
from pipeline.infer.stages import OpenStage, StagePlan, open_stages, plan_stages

__all__ = [
    "Engines",
    "InferReport",
    "OpenStage",
    "StagePlan",
    "StageReport",
    "infer",
    "open_stages",
    "plan_stages",
]
