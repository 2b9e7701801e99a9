"""Everything the models said about an image, judged by one policy."""

from __future__ import annotations

from pipeline.config import PolicyConfig
from pipeline.fuse.agreement import compare
from pipeline.fuse.instances import find_instances, in_order
from pipeline.fuse.tags import decide_tags, tag_scores
from pipeline.fuse.texts import find_texts
from pipeline.fuse.vocabulary import Vocabulary
from pipeline.records import Findings, ImageLabels

_NO_NAMES = Vocabulary.build(PolicyConfig(), None)


def fuse(findings: Findings, policy: PolicyConfig, vocabulary: Vocabulary | None) -> ImageLabels:
    """Turn the findings of one image into labels; the caller adds their provenance.

    The labels depend on nothing but the arguments, and not on the order of regions or texts.
    Raising ``threshold`` or ``review_below`` of tags, regions or text never accepts a label
    that was not accepted before.

    Args:
        findings: Of one image; what was not asked is None or empty.
        policy: The one that ``vocabulary`` was built from, thresholds aside.
        vocabulary: None if nothing is embedded: masks are then classed ``UNNAMED``.

    Returns:
        Tags, instances and lines of text, dropped ones included, each with its reason.

    Raises:
        EngineError: The vectors do not fit each other, the regions or the vocabulary.
    """
    words = _NO_NAMES if vocabulary is None else vocabulary
    image = findings.image.info
    vector = findings.vector if words.for_tags else None
    scores = {} if vector is None else tag_scores(vector, words)
    tags = list(decide_tags(scores, policy, words))
    instances = list(find_instances(findings, policy, words))
    if scores and not (findings.region_vectors is None and findings.pooled is None):
        tags, instances = compare(tags, scores, instances, policy, image)
    objects = in_order(instances)
    texts = find_texts(findings.texts, policy.text, objects, image)
    return ImageLabels(findings.image, tuple(tags), objects, texts)
