"""Text vectors of the vocabulary: from the store, and from the text tower for new prompts only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pipeline.config import PolicyConfig
from pipeline.fuse import prompts_of
from pipeline.infer import Engines, OpenStage
from pipeline.infer.stages import prompt_description
from pipeline.records import PromptVectors, StageName
from pipeline.store import FindingStore
from pipeline.store.codecs import PromptVector


def prompt_vectors(
    policy: PolicyConfig,
    stages: Mapping[StageName, OpenStage],
    store: FindingStore,
    engines: Engines,
) -> PromptVectors | None:
    """Give the vectors of all prompts of a policy, or None if nothing is embedded.

    Raises:
        StoreError: New vectors could not be stored.
        WeightsError: New prompts need the embedder, and it cannot be loaded.
    """
    embed = stages.get(StageName.EMBED)
    if embed is None or embed.identity is None:
        return None
    known = store.prompts(prompt_description(embed.identity))
    keys = {prompt: _key(prompt) for prompt in prompts_of(policy)}
    new = [prompt for prompt, key in keys.items() if key not in known]
    if new:
        known.append([(keys[vector.prompt], vector) for vector in _embed(new, engines)])
    found = {vector.prompt: vector for vector in known.read(keys.values()).values()}
    some = next(iter(found.values()))
    vectors = {prompt: found[prompt].vector for prompt in keys}
    return PromptVectors(vectors, some.logit_scale, some.logit_bias)


def _embed(prompts: list[str], engines: Engines) -> list[PromptVector]:
    embedder = engines.embedder
    scale, bias = embedder.logit_scale, embedder.logit_bias
    vectors = embedder.embed_texts(prompts)
    return [PromptVector(p, v, scale, bias) for p, v in zip(prompts, vectors, strict=True)]


def _key(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()
