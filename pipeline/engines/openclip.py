"""CLIP and its relatives through open_clip: image and text vectors in one space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np
import open_clip  # noqa: TID253
import torch  # noqa: TID253
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor  # noqa: TID253

from pipeline.engines.attention import patch_vectors, tower_of
from pipeline.engines.base import EngineInfo, Patches
from pipeline.engines.batching import is_out_of_memory, run_in_chunks
from pipeline.engines.checkpoints import reason_of
from pipeline.engines.devices import Device, Precision, autocast, free_memory
from pipeline.engines.lean import complete_open_clip
from pipeline.engines.quiet import quiet
from pipeline.errors import OutOfMemoryError, WeightsError
from pipeline.records import Box, RgbImage, Vectors
from pipeline.relevance import model_frame
from pipeline.weights import ModelFiles

TEXT_BATCH: Final = 16

MAX_ASPECT: Final = 16
"""Longer images are cut around their middle first: transforms that scale the short side to the
model's would blow a 20000x2 image up to 2,240,000x224. What is cut is never seen by a model that
crops the centre."""


class OpenClipEmbedder:
    """A CLIP model from a folder with ``open_clip_config.json`` and weights.

    Every forward pass has the same shape, short batches are filled up: matrix products round
    differently at other batch sizes (2e-6), while a row of a fixed shape has the same bits whatever
    the other rows are. So a resumed run gives the bytes of an undisturbed one.

    Images are scaled by Pillow, as the models were trained with: torch's own scaling differs by one
    level in a fifth of the pixels and takes 1.2 times as long (measured). A GPU waits for none of
    it: other threads scale ahead of it.

    Args:
        files: The checked folder.
        batch_size: Images in one forward pass.
        device: Where the model lives.
        precision: bf16 runs under autocast; vectors are always normalised in fp32.

    Raises:
        WeightsError: The folder's files are no model that open_clip can load.
        OutOfMemoryError: The model does not fit on the device.
    """

    def __init__(
        self, files: ModelFiles, batch_size: int, device: Device, precision: Precision
    ) -> None:
        self.info = EngineInfo("open_clip", files.name, files.digest, device, precision)
        self._device, self._precision = device, precision
        self._batch_size, self._text_batch = batch_size, TEXT_BATCH
        # On a CPU the model needs all cores itself.
        self._scaling = None if device == "cpu" else ThreadPoolExecutor()
        self._model, self._transform = _load(files, device)
        self._tokenize = _tokenizer(files)
        bias = getattr(self._model, "logit_bias", None)
        self.logit_scale = float(self._model.logit_scale.detach().exp())
        self.logit_bias = None if bias is None else float(bias.detach())
        seen = open_clip.get_model_preprocess_cfg(self._model)
        self._resize = str(seen.get("resize_mode", "shortest"))
        side = seen["size"]
        self.input_size = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
        self.cuts_elongated = self._resize != "squash"

    def embed_images(self, images: Sequence[RgbImage]) -> Vectors:
        """Embed images; row i belongs to image i, (N, D), unit length.

        A row of NaN stays one: whoever asks must look.

        Raises:
            OutOfMemoryError: A single image does not fit.
        """
        rows, self._batch_size = run_in_chunks(
            self._prepared(images), self._batch_size, self._image_rows, self._free
        )
        return self._matrix(rows)

    def embed_texts(self, prompts: Sequence[str]) -> Vectors:
        """Embed prompts; row i belongs to prompt i, (N, D), unit length.

        Prompts longer than the model's context are cut, as open_clip does.

        Raises:
            OutOfMemoryError: A single prompt does not fit.
        """
        rows, self._text_batch = run_in_chunks(
            prompts, self._text_batch, self._text_rows, self._free
        )
        return self._matrix(rows)

    def embed_patches(self, images: Sequence[RgbImage]) -> list[Patches]:
        """Embed what each patch's last token says by itself, in the space of texts.

        Raises:
            EngineError: The model is no vision transformer.
            OutOfMemoryError: A single image does not fit.
        """
        cells, self._batch_size = run_in_chunks(
            self._prepared(images), self._batch_size, self._cells, self._free
        )
        return [
            Patches(vectors, self.frame(image))
            for vectors, image in zip(cells, images, strict=True)
        ]

    def frame(self, image: RgbImage) -> Box:
        """Say which part of an image the model sees, in pixels; it may reach beyond the image."""
        seen = middle(image) if self.cuts_elongated else image
        box = model_frame(seen.shape[0], seen.shape[1], self.input_size, self._resize)
        left, top = (image.shape[1] - seen.shape[1]) / 2, (image.shape[0] - seen.shape[0]) / 2
        return Box(box.x + left, box.y + top, box.width, box.height)

    @property
    def model(self) -> Any:  # noqa: ANN401  open_clip is untyped
        """The open_clip model, for those who look into it; to be left as it is."""
        return self._model

    def pixels(self, images: Sequence[RgbImage]) -> Tensor:
        """Prepare images as the model sees them, float (N, 3, H, W) on its device."""
        return self._stacked(self._prepared(images))

    def _prepared(self, images: Sequence[RgbImage]) -> list[Callable[[], Tensor]]:
        if self._scaling is None:
            return [partial(self._prepare, image) for image in images]
        return [self._scaling.submit(self._prepare, image).result for image in images]

    def _prepare(self, image: RgbImage) -> Tensor:
        pixels: Tensor = self._transform(self._picture(image))
        return pixels

    def _stacked(self, images: Sequence[Callable[[], Tensor]]) -> Tensor:
        return torch.stack([prepared() for prepared in images]).to(self._device)

    def _image_rows(
        self, images: Sequence[Callable[[], Tensor]], size: int
    ) -> list[NDArray[np.float32]]:
        pixels = self._stacked(images)
        with torch.inference_mode(), autocast(self._device, self._precision):
            vectors = self._model.encode_image(_filled(pixels, size))
        return _unit_rows(vectors, len(images))

    def _cells(
        self, images: Sequence[Callable[[], Tensor]], size: int
    ) -> list[NDArray[np.float32]]:
        tower = tower_of(self._model.visual, self.info.model)
        pixels = _filled(self._stacked(images), size)
        with torch.inference_mode(), autocast(self._device, self._precision):
            vectors = patch_vectors(self._model, tower, pixels)
        cells = vectors[: len(images)].unflatten(1, tower.grid)
        return list(cells.cpu().numpy())

    def _text_rows(self, prompts: Sequence[str], size: int) -> list[NDArray[np.float32]]:
        tokens = self._tokenize(list(prompts))
        with torch.inference_mode(), autocast(self._device, self._precision):
            vectors = self._model.encode_text(_filled(tokens, size).to(self._device))
        return _unit_rows(vectors, len(prompts))

    def _picture(self, image: RgbImage) -> Image.Image:
        return Image.fromarray(middle(image) if self.cuts_elongated else image)

    def _matrix(self, rows: list[NDArray[np.float32]]) -> Vectors:
        if rows:
            return np.stack(rows)
        return np.zeros((0, self.dimensions), np.float32)

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        projection = getattr(self._model, "text_projection", None)
        if isinstance(projection, Tensor):
            return int(projection.shape[-1])
        return int(self._text_rows([""], 1)[0].shape[0])

    def _free(self) -> None:
        free_memory(self._device)


def middle(image: RgbImage) -> RgbImage:
    """Cut an image that is longer than 16 times its short side down to that, around its middle."""
    limit = MAX_ASPECT * min(image.shape[:2])
    height, width = image.shape[:2]
    top, left = max(0, height - limit) // 2, max(0, width - limit) // 2
    return np.ascontiguousarray(image[top : height - top, left : width - left])


def _load(files: ModelFiles, device: Device) -> tuple[Any, Any]:
    if _has_foreign_tower(files):
        complete_open_clip()
    # The folder's own name for everything: a tag would let the library look for weights elsewhere.
    try:
        with quiet():
            model, _, transform = open_clip.create_model_and_transforms(
                f"local-dir:{files.folder}", device=device, require_pretrained=True
            )
    except Exception as error:  # whatever is wrong with the folder, it is not a model
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"{files.name} does not fit on {device}: {error}") from error
        raise WeightsError(
            f"open_clip cannot load {files.folder}: {reason_of(error)}\n"
            "  expected: open_clip_config.json and matching weights, as `autolabel models pull` "
            "writes them"
        ) from error
    return model.eval(), transform


def _has_foreign_tower(files: ModelFiles) -> bool:
    config = files.folder / "open_clip_config.json"
    said = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    return "timm_model_name" in said or "hf_model_name" in said


def _tokenizer(files: ModelFiles) -> Any:  # noqa: ANN401  open_clip is untyped
    own = [file.path for file in files.files if file.path.name.endswith(".txt.gz")]
    # open_clip takes a relative path from the configuration as relative to wherever we run.
    options = {"bpe_path": str(own[0])} if own else {}
    with quiet():
        return open_clip.get_tokenizer(f"local-dir:{files.folder}", **options)


def _filled(batch: Tensor, size: int) -> Tensor:
    missing = size - len(batch)
    return torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])]) if missing else batch


def _unit_rows(vectors: Tensor, n: int) -> list[NDArray[np.float32]]:
    unit = torch.nn.functional.normalize(vectors[:n].float(), dim=-1)
    return list(unit.cpu().numpy())
