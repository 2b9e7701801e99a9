"""How findings become labels: vocabulary, prompts, thresholds."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.section import Name, Section, Unit


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
