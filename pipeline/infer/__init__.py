"""Ask every stage about every image once, and remember the answers.

``stages`` says what a stage is and when an old answer still holds; ``questions`` puts one stage's
question to an engine and survives its failures; ``loop`` overlaps decoding, models and writing;
``executor`` says in which processes that happens.
"""

from pipeline.infer.engines import Engines
from pipeline.infer.executor import open_executor
from pipeline.infer.loop import InferReport, StageReport, infer
from pipeline.infer.stages import OpenStage, StagePlan, open_stages, plan_stages

__all__ = [
    "Engines",
    "InferReport",
    "OpenStage",
    "StagePlan",
    "StageReport",
    "infer",
    "open_executor",
    "open_stages",
    "plan_stages",
]
