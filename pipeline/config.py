"""The run file as frozen, strict values. ``pipeline.runfile`` reads them from YAML.

Every key has a description: ``docs/run-file.md`` is generated from them. Unknown keys, wrong
types and values out of range are errors, all reported at once, before any model is loaded.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)


def _as_name(value: object) -> object:
    """Normalise names; a whole number that was meant as a name (class 7) is one."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


Name: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    BeforeValidator(_as_name),
]
RegionsBy: TypeAlias = Literal["crops", "dense", "both"]
Unit: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Colour: TypeAlias = tuple[
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
]


class Section(BaseModel):
    """A part of the run file."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", validate_default=True, protected_namespaces=()
    )


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


class OpenClipConfig(Section):
    """CLIP and its relatives, through open_clip."""

    engine: Literal["open_clip"]
    model: Name = Field(
        description="Name in models.lock, a local directory (`./dir`), or `ARCH/PRETRAINED_TAG`."
    )
    batch_size: int = Field(default=16, ge=1, description="Images or crops in one forward pass.")
    regions: RegionsBy = Field(
        default="crops",
        description="What names a region. `crops`: two crops each. `dense`: the patches that it "
        "covers, all regions in a few passes; vision transformers only, how right it is depends "
        "on the model. `both`: crops name it, patches check it (policy.regions.min_relevance).",
    )
    tiles: int = Field(
        default=2, ge=1, le=16, description="Squares along the shorter side, for dense patches."
    )


class FakeEmbedConfig(Section):
    """A deterministic embedder without weights, for tests."""

    engine: Literal["fake"]
    dimensions: int = Field(default=32, ge=2, description="Length of the vectors.")
    regions: RegionsBy = Field(default="crops", description="As for open_clip.")
    tiles: int = Field(default=2, ge=1, le=16, description="As for open_clip.")


EmbedConfig: TypeAlias = Annotated[OpenClipConfig | FakeEmbedConfig, Field(discriminator="engine")]


class SegmentAnythingConfig(Section):
    """Automatic masks with segment-anything. Thresholds are floors: the policy cuts higher."""

    engine: Literal["segment_anything"]
    model: Name = Field(description="Name in models.lock, or a checkpoint directory (`./dir`).")
    mode: Literal["exact", "fast", "stock"] = Field(
        default="exact",
        description="`exact`: the library's masks for less work, fp32. `fast`: the same in bf16, "
        "which moves edges a little. `stock`: the library's own generator, the reference.",
    )
    points_per_side: int = Field(default=32, ge=1, le=256, description="Prompt grid per side.")
    points_per_batch: int = Field(default=64, ge=1, description="Prompts decoded at once.")
    pred_iou_thresh: Unit = Field(default=0.8, description="Floor on the predicted IoU.")
    stability_score_thresh: Unit = Field(default=0.9, description="Floor on the stability score.")
    stability_score_offset: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="Logit offset of the stability score."
    )
    box_nms_thresh: Unit = Field(default=0.7, description="Box IoU above which one mask goes.")
    crop_n_layers: int = Field(default=0, ge=0, le=4, description="Extra layers of image crops.")
    crop_nms_thresh: Unit = Field(default=0.7, description="Box IoU between crops.")
    crop_overlap_ratio: Unit = Field(
        default=512 / 1500, description="Overlap of crops as a share of the image."
    )
    crop_n_points_downscale_factor: int = Field(
        default=1, ge=1, description="Grid divisor per crop layer."
    )
    min_mask_region_area: int = Field(
        default=0, ge=0, description="Smaller islands and holes are removed, in pixels."
    )


class FakeSegmentConfig(Section):
    """Masks from connected areas of one colour, without weights, for tests."""

    engine: Literal["fake"]


SegmentConfig: TypeAlias = Annotated[
    SegmentAnythingConfig | FakeSegmentConfig, Field(discriminator="engine")
]


class EasyOcrConfig(Section):
    """Text with EasyOCR."""

    engine: Literal["easyocr"]
    model: Name = Field(
        default="easyocr-english",
        description="Name in models.lock, or a directory with detector and recogniser.",
    )
    languages: tuple[Name, ...] = Field(
        default=("en",), min_length=1, description="EasyOCR language codes."
    )
    min_score: Unit = Field(default=0.05, description="Floor on the recogniser's confidence.")


class RapidOcrConfig(Section):
    """Text with RapidOCR; its weights come inside its wheel."""

    engine: Literal["rapidocr"]
    min_score: Unit = Field(default=0.3, description="Floor on the recogniser's confidence.")
    threads: int = Field(default=0, ge=0, description="onnxruntime threads; 0 means all cores.")


class FakeReadConfig(Section):
    """A reader without weights, for tests."""

    engine: Literal["fake"]


ReadConfig: TypeAlias = Annotated[
    EasyOcrConfig | RapidOcrConfig | FakeReadConfig, Field(discriminator="engine")
]


class StagesConfig(Section):
    """Which models are asked; a stage that is left out is not run."""

    embed: EmbedConfig | None = Field(
        default=None, description="Image and region vectors: gives tags and names."
    )
    segment: SegmentConfig | None = Field(default=None, description="Class-less masks.")
    read: ReadConfig | None = Field(default=None, description="Text in the image.")

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.embed is None and self.segment is None and self.read is None:
            raise ValueError("name at least one of embed, segment, read")
        return self


class ClassConfig(Section):
    """One class of the vocabulary."""

    name: Name = Field(description="Name in the COCO categories.")
    synonyms: tuple[Name, ...] = Field(
        default=(), description="Further words that go into the templates."
    )
    prompts: tuple[Name, ...] = Field(
        default=(),
        description="Whole prompts, used as they are, beside the templates.",
    )
    supercategory: str = Field(default="", description="COCO supercategory.")
    use: Literal["both", "tag", "region"] = Field(
        default="both", description="Whether the class may tag images, name regions, or both."
    )
    tag_threshold: Unit | None = Field(
        default=None, description="Overrides policy.tags.threshold for this class."
    )
    region_threshold: Unit | None = Field(
        default=None, description="Overrides policy.regions.threshold for this class."
    )


class TagPolicy(Section):
    """When the image as a whole gets a tag."""

    threshold: Unit = Field(default=0.5, description="Score a class must reach.")
    review_margin: Unit = Field(
        default=0.1, description="Tags less than this above their threshold go to review."
    )
    max_tags: int = Field(default=20, ge=1, description="Most tags per image, best first.")


class RegionPolicy(Section):
    """When a mask becomes a named object."""

    threshold: Unit = Field(default=0.4, description="Probability the best class must reach.")
    review_below: Unit = Field(
        default=0.7, description="Named regions with a lower probability go to review."
    )
    review_margin: Unit = Field(
        default=0.15, description="Lead over the runner-up below which a region goes to review."
    )
    masked_weight: Unit = Field(
        default=0.5, description="Weight of the background-masked crop against the plain crop."
    )
    min_relevance: float | None = Field(
        default=None,
        ge=-2,
        le=2,
        allow_inf_nan=False,
        description="Lead in cosine of the patches inside a region over those outside, for its "
        "name against the other names; less sends it to review. Needs stages.embed.regions: "
        "dense or both.",
    )
    min_predicted_iou: Unit = Field(default=0.0, description="Cut on the segmenter's IoU estimate.")
    min_stability: Unit = Field(default=0.0, description="Cut on the stability score.")
    min_area: int = Field(default=64, ge=1, description="Smallest mask in pixels.")
    max_area_share: Unit = Field(
        default=0.9, description="Masks that cover a larger share of the image are background."
    )
    duplicate_iou: Unit = Field(
        default=0.6, description="Mask IoU above which two regions are one object."
    )
    part_containment: Unit = Field(
        default=0.8,
        description="Share of a smaller region inside a larger one of the same class that makes "
        "it a part of it.",
    )


class TextPolicy(Section):
    """When a piece of text becomes a label."""

    threshold: Unit = Field(default=0.4, description="Score a line must reach.")
    review_below: Unit = Field(default=0.7, description="Lines with a lower score go to review.")
    min_height: float = Field(
        default=4.0, ge=0, allow_inf_nan=False, description="Smallest text height in pixels."
    )
    line_gap: float = Field(
        default=1.0,
        ge=0,
        allow_inf_nan=False,
        description="Largest gap between words of a line, in text heights.",
    )
    owner_containment: Unit = Field(
        default=0.7, description="Share of a line that must lie on a region for it to own the line."
    )


class PolicyConfig(Section):
    """How findings become labels. No change here runs a model on any image."""

    classes: tuple[ClassConfig, ...] = Field(
        default=(), description="The vocabulary, in the order of category ids."
    )
    templates: tuple[Name, ...] = Field(
        default=("a photo of a {}.",),
        min_length=1,
        description="Prompt templates; {} stands for the class name or a synonym.",
    )
    background: tuple[Name, ...] = Field(
        default=("background", "nothing", "texture"),
        description="Prompts of what is not a class; regions closer to these get no name.",
    )
    tags: TagPolicy = Field(default=TagPolicy(), description="Tags of whole images.")
    regions: RegionPolicy = Field(default=RegionPolicy(), description="Names of masks.")
    text: TextPolicy = Field(default=TextPolicy(), description="Lines of text.")

    @model_validator(mode="after")
    def _vocabulary_is_sound(self) -> Self:
        seen: dict[str, str] = {}
        for entry in self.classes:
            key = entry.name.casefold()
            if key in seen:
                raise ValueError(f"classes: {entry.name!r} is there twice (as {seen[key]!r})")
            if key == "text":
                raise ValueError("classes: 'text' is the category of transcriptions; rename yours")
            seen[key] = entry.name
        for template in self.templates:
            if template.count("{}") != 1:
                raise ValueError(f"templates: {template!r} needs exactly one {{}}")
        return self


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
