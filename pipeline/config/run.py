"""The run file as a whole: which images, which models, which policy, and where results go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from pipeline.config.policy import PolicyConfig
from pipeline.config.section import Name, Section
from pipeline.config.stages import StagesConfig

Colour: TypeAlias = tuple[
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
]


class InputConfig(Section):
    """Which files are taken and how they become pixels."""

    follow_links: bool = Field(
        default=False, description="Follow symbolic links that stay inside the folder."
    )
    max_file_bytes: int = Field(
        default=256 * 2**20, ge=1, description="Larger files are quarantined unread."
    )
    max_pixels: int = Field(
        default=80_000_000, ge=64, description="Largest width x height, checked before decoding."
    )
    min_side: int = Field(default=8, ge=1, description="Shortest side in pixels.")
    max_aspect: float = Field(
        default=50.0, ge=1, allow_inf_nan=False, description="Longest side over shortest side."
    )
    multi_frame: Literal["first", "quarantine"] = Field(
        default="first",
        description="Animations and multi-page files: take the first frame, or quarantine.",
    )
    truncated: Literal["quarantine", "tolerate"] = Field(
        default="quarantine", description="Files that end early; tolerated ones are grey below."
    )
    high_depth: Literal["bit_depth", "percentile"] = Field(
        default="bit_depth",
        description="16-bit and float pixels to 8 bit: by declared depth, or by percentiles 1-99.",
    )
    background: Colour = Field(
        default=(255, 255, 255), description="RGB shown through transparent pixels."
    )
    decode_workers: int = Field(default=2, ge=1, le=64, description="Decoder processes.")
    decode_seconds: float = Field(
        default=30.0, gt=0, allow_inf_nan=False, description="A decode that takes longer is killed."
    )
    decode_memory_mb: int = Field(
        default=1536, ge=256, description="Address space of one decoder process, in MiB."
    )


class ModelsConfig(Section):
    """Where weights are looked for."""

    directory: Path | None = Field(
        default=None,
        description="Folder with weights; default AUTOLABEL_MODELS_DIR, else ~/.cache/autolabel.",
    )
    offline: bool = Field(
        default=True, description="Never ask the network at run time; `autolabel models pull` does."
    )


class InProcessConfig(Section):
    """The process that was started asks the models."""

    engine: Literal["in_process"]


class RayConfig(Section):
    """Actors of a Ray cluster ask the models; needs the extra ``ray``."""

    engine: Literal["ray"]
    address: Name | None = Field(
        default=None, description="Of the cluster; left out, this machine is one."
    )
    actors: int = Field(default=2, ge=1, description="Processes that each hold the models.")
    cpus_per_actor: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="Cores that an actor is given."
    )
    gpus_per_actor: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="GPUs that an actor is given."
    )


ExecutionConfig: TypeAlias = Annotated[InProcessConfig | RayConfig, Field(discriminator="engine")]


class RunConfig(Section):
    """A run file: which images, which models, which policy, and where the results go."""

    name: Name = Field(description="Name of the job, shown in reports and datasets.")
    images: tuple[Path, ...] = Field(
        min_length=1, description="Folders with images, relative to the run file."
    )
    workspace: Path = Field(
        description="Folder for findings and results, never inside an image folder."
    )
    input: InputConfig = Field(default=InputConfig(), description="Files to pixels.")
    models: ModelsConfig = Field(default=ModelsConfig(), description="Weights.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="`auto` takes cuda, else mps, else cpu."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="`auto` is bf16 on cuda, fp32 elsewhere."
    )
    stages: StagesConfig = Field(description="Which models are asked.")
    policy: PolicyConfig = Field(default=PolicyConfig(), description="Findings to labels.")
    execution: ExecutionConfig = Field(
        default=InProcessConfig(engine="in_process"),
        description="Where models are asked; changes no answer.",
    )
    store: Name | None = Field(
        default=None,
        description="Findings at an fsspec URL (`s3://bucket/store`) instead of in the workspace.",
    )

    @model_validator(mode="after")
    def _classes_when_embedding(self) -> Self:
        if self.stages.embed is not None and not self.policy.classes:
            raise ValueError("policy.classes is empty, but stages.embed needs names to look for")
        return self

    @model_validator(mode="after")
    def _patches_when_checking_relevance(self) -> Self:
        embed = self.stages.embed
        wanted = self.policy.regions.min_relevance is not None
        if wanted and (embed is None or embed.regions == "crops"):
            raise ValueError(
                "policy.regions.min_relevance looks at patches: set stages.embed.regions to dense "
                "or both"
            )
        return self
