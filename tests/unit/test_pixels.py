"""What the matrix of bad input does not cover: settings, cuts everywhere, random bytes."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from drawn import (
    FORMATS,
    HEIGHT,
    WIDTH,
    chunk,
    encoded,
    exif,
    grey,
    linear_grey_profile,
    scene,
    tiff,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import AvifImagePlugin, Image, ImageCms, ImageFile

from pipeline.config import InputConfig
from pipeline.errors import ImageRejectedError
from pipeline.pixels import Decoded, Note, colours, decode, has_wrong_extension
from pipeline.pixels.containers import Kind
from pipeline.reasons import REASONS_OF_THE_BYTES, Reason

FILES = {kind: encoded(scene(), kind, **options) for kind, options in FORMATS.items()}
VARIANTS = {
    **FILES,
    "progressive": encoded(scene(), "JPEG", progressive=True),
    "restarts": encoded(scene(), "JPEG", quality=95, restart_marker_rows=1),
    "interlaced": encoded(scene(), "GIF", interlace=1),
    "lossless": encoded(scene(), "WEBP", lossless=True),
    "strips": encoded(scene(), "TIFF"),
    "jpeg in tiff": encoded(scene(), "TIFF", compression="jpeg"),
    "big tiff": encoded(scene(), "TIFF", big_tiff=True),
    "rle": encoded(Image.fromarray(grey()).quantize(4), "BMP"),
    **{
        f"moving {kind}": encoded(
            scene(), kind, save_all=True, append_images=[Image.fromarray(255 - scene())]
        )
        for kind in ("GIF", "PNG", "WEBP", "TIFF")
    },
}
VARIANTS["moving TIFF"] = VARIANTS["moving TIFF"][:-4]  # Pillow's padding, which nobody misses


def decoded(data: bytes, name: str = "image", **changes: Any) -> Decoded:
    return decode(data, name=name, settings=InputConfig(**changes))


def reason(data: bytes, **changes: Any) -> Reason:
    with pytest.raises(ImageRejectedError) as caught:
        decoded(data, **changes)
    return caught.value.reason


@pytest.mark.parametrize("name", VARIANTS)
def test_a_file_cut_anywhere_is_truncated(name: str) -> None:
    data = VARIANTS[name]
    assert decoded(data).info.height == HEIGHT
    near_end = range(len(data) - 30, len(data))
    for cut in {*near_end, *(len(data) * percent // 100 for percent in range(1, 100))}:
        # Cut inside its first bytes, a file is not known to be an image.
        allowed = {Reason.TRUNCATED} if cut > 32 else {Reason.TRUNCATED, Reason.NOT_AN_IMAGE}
        assert reason(data[:cut]) in allowed, f"cut at {cut} of {len(data)}"


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "strips"])
def test_a_cut_file_is_tolerated_if_told(name: str) -> None:
    data = VARIANTS[name]
    half = decoded(data[: len(data) * 6 // 10], truncated="tolerate")
    whole = decoded(data)
    assert half.info.notes == (Note.TRUNCATED,)
    assert whole.info.notes == decoded(data, truncated="tolerate").info.notes == ()
    assert half.pixels.shape == whole.pixels.shape
    same_rows = (half.pixels == whole.pixels).all((1, 2))
    assert 3 <= same_rows.sum() < HEIGHT


@pytest.mark.parametrize("name", ["WEBP", "AVIF", "TIFF"])
def test_a_cut_file_that_cannot_be_tolerated_is_still_truncated(name: str) -> None:
    assert reason(FILES[name][: len(FILES[name]) // 2], truncated="tolerate") is Reason.TRUNCATED


def test_bytes_after_the_end_are_ignored() -> None:
    for name in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"):
        assert np.array_equal(decoded(FILES[name] + b"trailer").pixels, decoded(FILES[name]).pixels)


class TestSettings:
    def test_background(self) -> None:
        hidden = Image.fromarray(np.dstack([scene(), np.zeros_like(grey())]))
        pixels = decoded(encoded(hidden, "PNG"), background=(10, 20, 30)).pixels
        assert (pixels == (10, 20, 30)).all()

    @pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_multi_frame(self, kind: str) -> None:
        assert reason(VARIANTS[f"moving {kind}"], multi_frame="quarantine") is Reason.MULTI_FRAME
        assert decoded(FILES[kind], multi_frame="quarantine").info.n_frames == 1

    def test_an_animation_cannot_claim_more_frames_than_it_has(self) -> None:
        data = VARIANTS["moving PNG"]
        at = data.index(b"acTL") - 4
        lie = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
        assert decoded(data[:at] + lie + data[at + len(lie) :]).info.n_frames == 2

    def test_an_image_before_the_animation_is_a_frame(self) -> None:
        more = [Image.fromarray(255 - scene()), Image.fromarray(scene())]
        data = encoded(scene(), "PNG", save_all=True, append_images=more, default_image=True)
        assert decoded(data).info.n_frames == 3

    def test_reduced_copies_are_no_frames(self) -> None:
        pages = [Image.fromarray(scene()), Image.fromarray(scene()).reduce(2)]
        data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
        assert decoded(data).info.n_frames == 2
        first = data.index(b"II*\0") + int.from_bytes(data[4:8], "little")
        entries = int.from_bytes(data[first : first + 2], "little")
        following = first + 2 + 12 * entries
        second = int.from_bytes(data[following : following + 4], "little")
        marked = bytearray(data)  # the first tag becomes NewSubfileType: a reduced copy
        marked[second + 2 : second + 14] = b"\xfe\0\4\0\1\0\0\0\1\0\0\0"
        assert decoded(bytes(marked)).info.n_frames == 1

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"max_pixels": WIDTH * HEIGHT - 1}, Reason.TOO_MANY_PIXELS),
            ({"min_side": HEIGHT + 1}, Reason.TOO_SMALL),
            ({"max_aspect": WIDTH / HEIGHT - 0.01}, Reason.TOO_ELONGATED),
        ],
    )
    def test_sizes_are_checked_in_every_format(
        self, changes: dict[str, Any], expected: Reason
    ) -> None:
        exact: dict[str, Any] = {
            "max_pixels": WIDTH * HEIGHT,
            "min_side": HEIGHT,
            "max_aspect": WIDTH / HEIGHT,
        }
        for kind, data in FILES.items():
            assert reason(data, **changes) is expected, kind
            assert decoded(data, **exact).info.width == WIDTH, kind

    def test_percentiles_spread_what_bit_depth_refuses_or_leaves_dark(self) -> None:
        levels = grey().astype(np.float32)
        with_holes = levels.copy()
        with_holes[:4, :4] = np.nan
        faint = tiff((levels * 16).astype("<u2").tobytes(), WIDTH, HEIGHT, bits=[16])
        for data in (encoded(levels * 1000 - 5000, "TIFF"), encoded(with_holes, "TIFF"), faint):
            result = decoded(data, high_depth="percentile")
            assert Note.PERCENTILE_SCALED in result.info.notes
            seen = result.pixels[8:, :, 0].astype(float)
            assert seen.min() < 30
            assert seen.max() > 225
            assert np.corrcoef(seen.ravel(), levels[8:].ravel())[0, 1] > 0.98

    @pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
    def test_percentiles_of_a_flat_image_are_no_division_by_zero(self, value: float) -> None:
        flat = np.full((16, 16), value, np.float32)
        assert decoded(encoded(flat, "TIFF"), high_depth="percentile").pixels.max() == 0

    def test_nothing_finite_is_rejected(self) -> None:
        flat = np.full((16, 16), np.nan, np.float32)
        assert reason(encoded(flat, "TIFF"), high_depth="percentile") is Reason.UNSUPPORTED_BANDS


class TestColours:
    def test_grey_profile(self) -> None:
        result = decoded(encoded(grey(), "PNG", icc_profile=linear_grey_profile()))
        light = grey() / 255.0
        expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light**0.41667 - 0.055)
        assert result.info.notes == (Note.ICC_APPLIED,)
        assert np.abs(result.pixels - expected[:, :, None]).max() <= 2

    def test_grey_profile_on_colours_is_ignored(self) -> None:
        result = decoded(encoded(scene(), "PNG", icc_profile=linear_grey_profile()))
        assert result.info.notes == (Note.ICC_IGNORED,)
        assert np.array_equal(result.pixels, scene())

    def test_lab(self) -> None:
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(Image.fromarray(scene()), srgb, lab, outputMode="LAB")
        assert image is not None
        pixels = decoded(encoded(image, "TIFF")).pixels.astype(int)
        assert np.abs(pixels - scene()).mean() < 3

    def test_blocks_of_a_large_image_give_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wide = encoded(grey().astype(np.uint16) * 257, "PNG")
        before = [decoded(data).pixels for data in (wide, FILES["JPEG"])]
        monkeypatch.setattr(colours, "_BLOCK_PIXELS", 3 * WIDTH + 1)
        for data, pixels in zip((wide, FILES["JPEG"]), before, strict=True):
            assert np.array_equal(decoded(data).pixels, pixels)


class TestGlobals:
    def test_are_as_before(self) -> None:
        before = self.state()
        decoded(FILES["AVIF"], max_pixels=9999)
        reason(FILES["JPEG"][:-2], truncated="quarantine")
        reason(b"\xff\xd8\xff" + bytes(20), truncated="tolerate")
        assert self.state() == before

    @staticmethod
    def state() -> tuple[Any, ...]:
        return (
            Image.MAX_IMAGE_PIXELS,
            ImageFile.LOAD_TRUNCATED_IMAGES,
            AvifImagePlugin.DEFAULT_MAX_THREADS,
        )

    def test_pillow_without_avif(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(AvifImagePlugin, "SUPPORTED", False)
        assert reason(FILES["AVIF"]) is Reason.UNSUPPORTED_FORMAT


class TestOrientation:
    def test_after_the_pixels_of_a_png(self) -> None:
        data = encoded(scene(), "PNG")
        block = encoded(scene(), "PNG", exif=exif(6))
        at = block.index(b"eXIf") - 4
        late = block[at : at + 12 + int.from_bytes(block[at : at + 4], "big")]
        result = decoded(data[:-12] + late + data[-12:])
        assert result.info.orientation == 6
        assert np.array_equal(result.pixels, np.rot90(scene(), -1))

    @pytest.mark.parametrize("value", [0, 9, 65535])
    def test_that_makes_no_sense_in_a_tiff(self, value: int) -> None:
        tags = [(274, 3, [value])]
        result = decoded(tiff(grey().tobytes(), WIDTH, HEIGHT, bits=[8], tags=tags))
        assert result.info.orientation == 1
        assert result.info.notes == (Note.EXIF_IGNORED,)


@pytest.mark.parametrize(
    ("name", "mime", "wrong"),
    [
        ("a.jpg", "image/jpeg", False),
        ("a.JPEG", "image/jpeg", False),
        ("a.png", "image/jpeg", True),
        ("folder.png/a", "image/jpeg", False),
        (".png", "image/jpeg", False),
        ("2024.12.31", "image/jpeg", False),
        ("a.txt", "image/png", True),
        ("a.tif", "image/tiff", False),
    ],
)
def test_extension(name: str, mime: str, wrong: bool) -> None:
    assert has_wrong_extension(name, mime) is wrong


HEADS = st.sampled_from([data[:n] for data in VARIANTS.values() for n in (3, 12, 30, 100)])


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.one_of(HEADS, st.just(b"")), st.binary(max_size=200))
def test_any_bytes_are_an_image_or_have_a_reason_of_their_own(head: bytes, tail: bytes) -> None:
    outcome = attempted(head + tail)
    if isinstance(outcome, ImageRejectedError):
        assert outcome.reason in REASONS_OF_THE_BYTES
        assert outcome.detail
    else:
        assert outcome.info.mime in set(Kind)
        assert outcome.pixels.shape == (outcome.info.height, outcome.info.width, 3)


def attempted(data: bytes) -> Decoded | ImageRejectedError:
    try:
        return decoded(data, min_side=1, max_pixels=1 << 20)
    except ImageRejectedError as error:
        return error


def test_decoding_is_repeatable() -> None:
    for data in VARIANTS.values():
        assert np.array_equal(decoded(data).pixels, decoded(data).pixels)
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(decoded(data).pixels, np.asarray(image.convert("RGB")))
