"""Which models are asked, with which settings."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from pipeline.config.section import Name, Section, Unit

RegionsBy: TypeAlias = Literal["crops", "dense", "both"]


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
