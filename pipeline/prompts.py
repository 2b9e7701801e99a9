"""Text vectors of the vocabulary: from the store, and from the text tower for new prompts only."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.config import PolicyConfig
from pipeline.engines.base import Embedder
from pipeline.fuse import prompts_of
from pipeline.infer import Engines, OpenStage
from pipeline.infer.stages import prompt_description
from pipeline.records import PromptVectors, StageName
from pipeline.store import FindingStore
from pipeline.store.codecs import PromptVector


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedPrompts:
    """The text vectors of a policy, and what it took to get them.

    Attributes:
        vectors: None if nothing is embedded.
        new: Prompts the text tower was asked about.
        seconds: Wall time inside it.
    """

    vectors: PromptVectors | None
    new: int = 0
    seconds: float = 0.0


def embed_prompts(
    policy: PolicyConfig,
    stages: Mapping[StageName, OpenStage],
    store: FindingStore,
    engines: Engines,
) -> EmbeddedPrompts:
    """Give the vectors of all prompts of a policy; asks the text tower about new ones only.

    Raises:
        StoreError: New vectors could not be stored.
        WeightsError: New prompts need the embedder, and it cannot be loaded.
    """
    embed = stages.get(StageName.EMBED)
    if embed is None or embed.identity is None:
        return EmbeddedPrompts(None)
    known = store.prompts(prompt_description(embed.identity))
    keys = {prompt: prompt_key(prompt) for prompt in prompts_of(policy)}
    new = [prompt for prompt, key in keys.items() if key not in known]
    seconds = 0.0
    if new:
        embedder = engines.embedder
        start = time.perf_counter()
        vectors = _embed(new, embedder)
        seconds = time.perf_counter() - start
        known.append([(keys[vector.prompt], vector) for vector in vectors])
    return EmbeddedPrompts(_collected(known.read(keys.values()).values(), keys), len(new), seconds)


def _collected(found: Iterable[PromptVector], order: Iterable[str]) -> PromptVectors:
    by_prompt = {vector.prompt: vector for vector in found}
    some = next(iter(by_prompt.values()))
    vectors = {prompt: by_prompt[prompt].vector for prompt in order}
    return PromptVectors(vectors, some.logit_scale, some.logit_bias)


def _embed(prompts: list[str], embedder: Embedder) -> list[PromptVector]:
    scale, bias = embedder.logit_scale, embedder.logit_bias
    vectors = embedder.embed_texts(prompts)
    return [PromptVector(p, v, scale, bias) for p, v in zip(prompts, vectors, strict=True)]


def prompt_key(prompt: str) -> str:
    """Key of a prompt's vector in the store."""
    return hashlib.sha256(prompt.encode()).hexdigest()
