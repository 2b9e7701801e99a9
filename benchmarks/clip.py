"""CLIP: loops as people write them against our embedder, on whole images and on region crops.

Weights of the published size are random, as vectors take the same time whatever they say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import open_clip  # noqa: TID253
import torch  # noqa: TID253
from PIL import Image
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: TID253

from benchmarks.arms import Arm, Taken, in_turns
from benchmarks.figures import Comparison, Outcome, compared, significant
from benchmarks.floor import counted, peak
from benchmarks.options import Options
from benchmarks.pictures import Pictures, drawn, regions_of
from pipeline import rle
from pipeline.config import ModelsConfig
from pipeline.engines.openclip import OpenClipEmbedder
from pipeline.infer.crops import GREY, crop_box, region_crops
from pipeline.records import Region, RgbImage, Vectors
from pipeline.synthetic import Scene
from pipeline.weights import ModelFiles, locate

ARCHITECTURE, TINY = "ViT-B-32", "tiny-synthetic-clip"
OURS, HALVES = "ours", "ours bf16"
LABELS: Final = 40
COSINE, BF16_COSINE = 0.99999, 0.99
_BATCH: Final = 16


@dataclass(frozen=True)
class Setting:
    """A model, loaded once for all arms, and what to embed."""

    ours: OpenClipEmbedder
    halves: OpenClipEmbedder
    tokenize: Any
    transform: Any
    pictures: Pictures
    labels: Sequence[str]

    @property
    def model(self) -> Any:  # noqa: ANN401  open_clip is untyped
        """The one model of all fp32 arms."""
        return self.ours.model


def measure_clip(options: Options) -> Outcome:
    """Time vectors of images with their similarity to labels, and vectors of region crops."""
    torch.set_num_threads(options.threads)
    with _setting(short=options.short) as setting:
        return Outcome((_images(setting, options), _crops(setting, options)))


def _images(setting: Setting, options: Options) -> Comparison:
    number = len(setting.pictures.paths)
    arms = [
        Arm("loop, text again", lambda: _loop(setting, again=True)),
        Arm("loop, text once", lambda: _loop(setting, again=False)),
        Arm(OURS, lambda: _ours(setting.ours, setting)),
    ]
    if not options.short:
        arms.append(Arm(HALVES, lambda: _ours(setting.halves, setting)))
        _set_floors(arms, setting, number, texts=len(setting.labels))
    taken = in_turns(arms, options.repeats, warm_up=not options.short)
    title = f"CLIP {setting.ours.info.model}, {number} images, {len(setting.labels)} labels"
    return _laid_out(title, arms, taken)


def _crops(setting: Setting, options: Options) -> Comparison:
    """Two crops per region: as it is, and with its surroundings greyed."""
    scenes = setting.pictures.scenes
    regions = [regions_of(scene) for scene in scenes]
    arms = [
        Arm("loop over crops", lambda: _crop_loop(setting, regions)),
        Arm(OURS, lambda: _our_crops(setting.ours, scenes, regions)),
    ]
    number = sum(map(len, regions))
    if not options.short:
        arms.append(Arm(HALVES, lambda: _our_crops(setting.halves, scenes, regions)))
        _set_floors(arms, setting, 2 * number)
    taken = in_turns(arms, options.repeats, warm_up=not options.short)
    title = f"CLIP {setting.ours.info.model}, {number} regions of {len(scenes)} images"
    return _laid_out(title, arms, taken)


def _loop(setting: Setting, *, again: bool) -> Vectors:
    """Embed as a notebook does: file by file, and the labels once, or ``again`` for every file."""
    texts, rows = None if again else _labels(setting), []
    for path in setting.pictures.paths:
        with torch.no_grad():
            picture = setting.transform(Image.open(path).convert("RGB")).unsqueeze(0)
            vector = setting.model.encode_image(picture, normalize=True)
            here = _labels(setting) if texts is None else texts
            (setting.ours.logit_scale * vector @ here.T).softmax(-1)
        rows.append(vector[0].numpy())
    return np.stack(rows)


def _labels(setting: Setting) -> torch.Tensor:
    with torch.no_grad():
        tokens = setting.tokenize(list(setting.labels))
        vectors: torch.Tensor = setting.model.encode_text(tokens, normalize=True)
    return vectors


def _ours(embedder: OpenClipEmbedder, setting: Setting) -> Vectors:
    """Embed as a run does; texts are asked for once per run."""
    vectors = embedder.embed_images(
        [np.asarray(Image.open(path).convert("RGB")) for path in setting.pictures.paths]
    )
    texts = embedder.embed_texts(setting.labels)
    torch.as_tensor(embedder.logit_scale * vectors @ texts.T).softmax(-1)
    return vectors


def _crop_loop(setting: Setting, regions: Sequence[Sequence[Region]]) -> Vectors:
    rows = []
    for scene, found in zip(setting.pictures.scenes, regions, strict=True):
        picture = Image.fromarray(scene.image)
        crops = [_pasted(picture, region) for region in found]
        for crop in [plain for plain, _ in crops] + [masked for _, masked in crops]:
            with torch.no_grad():
                vector = setting.model.encode_image(
                    setting.transform(crop).unsqueeze(0), normalize=True
                )
            rows.append(vector[0].numpy())
    return np.stack(rows)


def _pasted(picture: Image.Image, region: Region) -> tuple[Image.Image, Image.Image]:
    box = crop_box(region.box, picture.height, picture.width)
    plain = picture.crop(box)
    inside = Image.fromarray(rle.decode(region.mask)).crop(box)
    return plain, Image.composite(plain, Image.new("RGB", plain.size, GREY), inside)


def _our_crops(
    embedder: OpenClipEmbedder, scenes: Sequence[Scene], regions: Sequence[Sequence[Region]]
) -> Vectors:
    crops: Callable[[RgbImage, Sequence[Region]], list[RgbImage]] = region_crops
    return np.concatenate(
        [
            embedder.embed_images(crops(scene.image, found))
            for scene, found in zip(scenes, regions, strict=True)
        ]
    )


def _laid_out(
    title: str, arms: Sequence[Arm[Vectors]], taken: dict[str, Taken[Vectors]]
) -> Comparison:
    reference = taken[arms[0].name].answer
    cosines = {name: float((reference * arm.answer).sum(1).min()) for name, arm in taken.items()}
    lost = [
        f"{name}: cosine {cosine:.6f} with the loop's vectors"
        for name, cosine in cosines.items()
        if cosine < (BF16_COSINE if name == HALVES else COSINE)
    ]
    answers = {name: {"least cosine": significant(c, 6)} for name, c in cosines.items()}
    return compared(title, arms, taken, answers=answers, lost=lost)


def _set_floors(
    arms: Sequence[Arm[Vectors]], setting: Setting, images: int, texts: int = 0
) -> None:
    side = setting.ours.pixels(setting.pictures.images[:1])
    tokens = setting.tokenize(["label"])
    # The only way of attending that the counter knows.
    with sdpa_kernel(SDPBackend.MATH):
        work = images * counted(lambda: setting.model.encode_image(side))
        work += texts * counted(lambda: setting.model.encode_text(tokens))
    peaks = {dtype: peak(dtype) for dtype in (torch.float32, torch.bfloat16)}
    for arm in arms:
        arm.floor = work / peaks[torch.bfloat16 if arm.name == HALVES else torch.float32]


@contextmanager
def _setting(*, short: bool) -> Iterator[Setting]:
    number, size = (3, (192, 256)) if short else (32, (768, 1024))
    with TemporaryDirectory(prefix="autolabel-bench-") as folder, drawn(number, size) as pictures:
        files = locate(TINY, ModelsConfig(), Path()) if short else _random(Path(folder))
        ours, halves = (
            OpenClipEmbedder(files, _BATCH, "cpu", precision) for precision in ("fp32", "bf16")
        )
        labels = [f"a photo of thing {number}" for number in range(LABELS)]
        tokenize, transform = ours._tokenize, ours._transform  # noqa: SLF001  open_clip's own
        yield Setting(ours, halves, tokenize, transform, pictures, labels)


def _random(folder: Path) -> ModelFiles:
    """Write random weights of the published size the way that pulled ones lie in their folder."""
    torch.manual_seed(7)
    model = open_clip.create_model(ARCHITECTURE)
    config = {
        "model_cfg": open_clip.get_model_config(ARCHITECTURE),
        "preprocess_cfg": open_clip.get_model_preprocess_cfg(model),
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    files = locate(str(folder), ModelsConfig(), Path())
    return ModelFiles(
        ARCHITECTURE,
        files.kind,
        files.folder,
        files.files,
        files.digest,
        files.licence,
        files.defaults,
    )
