"""The warp editor against scenes whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from emoga.errors import InputError
from emoga.guidance import EditRequest, PictureName, WarpFields, open_editor
from emoga.guidance.sampling import sample_bicubic
from emoga.guidance.warp import soft_inside, warp_picture
from emoga.images import from_uint8, to_uint8

SIZE = 96
RADIUS = 24.0
CENTRE = (44.0, 48.0)


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres y, x of the picture."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    return y, x


def behind(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A backdrop that is another colour where the disc arrives than where it was."""
    return 0.3 + 0.3 * np.stack([np.sin(x / 4), np.cos(y / 4), np.sin((x + y) / 6)], -1)


def surface(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A bright texture that belongs to the disc."""
    return 0.75 + 0.1 * np.stack([np.sin(x / 5), np.cos(y / 6), np.sin((x - y) / 7)], -1)


def disc(shift: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Picture [H,W,3] of the disc moved by (dy, dx) with true antialiasing, and its coverage [H,W]."""
    y, x = grid()
    steps = (np.arange(8) + 0.5) / 8 - 0.5
    inside = [
        np.hypot(y + v - CENTRE[0] - shift[0], x + u - CENTRE[1] - shift[1]) < RADIUS
        for v in steps
        for u in steps
    ]
    cover = np.mean(inside, axis=0)
    share = cover[..., None]
    return share * surface(y - shift[0], x - shift[1]) + (1 - share) * behind(y, x), cover


def moved_disc(shift: tuple[float, float]) -> tuple[np.ndarray, WarpFields, np.ndarray]:
    """Captured picture, the fields that move its disc, and the true picture after."""
    before, cover_before = disc((0.0, 0.0))
    after, cover_after = disc(shift)
    on_disc = cover_after > 0.5
    flow = np.where(on_disc[..., None], [-shift[1], -shift[0]], 0.0).astype(np.float32)
    # What the disc leaves behind was never seen; a caller renders it.
    uncovered = ((cover_before > 0) & ~on_disc).astype(np.float32)
    fields = WarpFields(flow=flow, fill=behind(*grid()).astype(np.float32), fill_mask=uncovered)
    return to_uint8(before), fields, after


def edge_ring(shift: tuple[float, float]) -> np.ndarray:
    """Pixels within 3 of the moved disc's edge, less the one pixel in which a hard flow cannot be right."""
    y, x = grid()
    distance = np.abs(np.hypot(y - CENTRE[0] - shift[0], x - CENTRE[1] - shift[1]) - RADIUS)
    return (distance < 3) & (distance > 1)


@pytest.mark.parametrize("shift", [(0.0, 9.0), (6.4, -3.3), (-4.5, 4.5), (0.3, 2.0)])
def test_a_moved_disc_has_no_halo(shift: tuple[float, float]) -> None:
    picture, fields, truth = moved_disc(shift)
    result = from_uint8(warp_picture(picture, fields))
    error = np.abs(result - truth).max(axis=2)
    ring = edge_ring(shift)
    assert error[ring].max() < 0.1, "the disc's old surroundings travel with its edge"
    # Without mending, the same flow drags a rim of backdrop along: the measure sees a halo.
    naive = sample_bicubic(from_uint8(picture), fields.flow)
    naive = np.where(fields.fill_mask[..., None] > 0, fields.fill, naive)
    wide = np.abs(np.hypot(grid()[0] - CENTRE[0] - shift[0], grid()[1] - CENTRE[1] - shift[1]) - RADIUS) < 3
    assert np.square(result - truth)[wide].mean() < 0.75 * np.square(naive - truth)[wide].mean()


def test_the_disc_lands_where_the_truth_has_it_to_a_fraction_of_a_pixel() -> None:
    shift = (3.37, -5.21)
    picture, fields, truth = moved_disc(shift)
    result = from_uint8(warp_picture(picture, fields))
    y, x = grid()

    def centre(image: np.ndarray) -> np.ndarray:
        bright = np.clip(image.mean(axis=2) - 0.45, 0, None) > 0
        return np.array([y[bright].mean(), x[bright].mean()])

    assert np.abs(centre(result) - centre(truth)).max() < 0.1
    inner = np.hypot(y - CENTRE[0] - shift[0], x - CENTRE[1] - shift[1]) < RADIUS - 4
    assert np.abs(result - truth)[inner].max() < 2.5 / 255


@pytest.mark.parametrize("apart", [(3.5, 3.5), (0.0, 6.3), (1.2, 5.0)])
def test_lips_that_part_show_only_what_is_filled_between_them(apart: tuple[float, float]) -> None:
    """A red upper and a blue lower lip meet at row 48 and part; white teeth appear."""
    y, x = grid()
    red = np.stack([0.7 + 0.1 * np.sin(x / 6) * np.cos(y / 7), 0.1 + 0 * y, 0.1 + 0 * y], -1)
    blue = red[..., ::-1]
    above, below = 48 - apart[0], 48 + apart[1]
    upper, lower = y + 0.5 < above, y + 0.5 > below
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[upper, 1], flow[lower, 1] = apart[0], -apart[1]
    gap = (~upper & ~lower).astype(np.float32)
    teeth = np.ones((SIZE, SIZE, 3), np.float32)
    captured = to_uint8(np.where((y < 48)[..., None], red, blue))
    result = from_uint8(warp_picture(captured, WarpFields(flow, fill=teeth, fill_mask=gap)))
    inner = gap > 0
    inner[1:] &= gap[:-1] > 0
    inner[:-1] &= gap[1:] > 0
    assert result[inner].min() > 0.99
    assert result[upper & (y < above - 2)][:, 2].max() < 0.11, "the lower lip shows in the upper"
    assert result[lower & (y > below + 1)][:, 0].max() < 0.11, "the upper lip shows in the lower"
    # The pixels at the edge itself mix with the teeth, never with the other lip.
    edge = upper & (y >= above - 2)
    assert (result[edge][:, 2] - result[edge][:, 1]).max() < 0.01


def test_no_flow_gives_the_picture_back_to_the_byte() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    still = WarpFields(flow=np.zeros((40, 30, 2), np.float32))
    np.testing.assert_array_equal(warp_picture(picture, still), picture)


def test_whole_pixels_are_moved_to_the_byte() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (40, 30, 3), np.uint8)
    flow = np.zeros((40, 30, 2), np.float32)
    flow[..., 0], flow[..., 1] = 3, -2
    np.testing.assert_array_equal(warp_picture(picture, WarpFields(flow))[2:, :27], picture[:-2, 3:])


def test_sampling_never_overshoots_an_edge() -> None:
    step = np.zeros((8, 32, 3), np.float32)
    step[:, 16:] = 1
    flow = np.full((8, 32, 2), 0.3, np.float32)
    sampled = sample_bicubic(step, flow)
    assert sampled.min() >= 0 and sampled.max() <= 1
    ramp = np.broadcast_to(np.linspace(0, 1, 32, dtype=np.float32)[None, :, None], (8, 32, 3))
    np.testing.assert_allclose(sample_bicubic(ramp, flow)[:, 3:-3, 0], ramp[:, 3:-3, 0] + 0.3 / 31, atol=1e-5)


def flat(value: float = 0.5) -> np.ndarray:
    return to_uint8(np.full((48, 48, 3), value, np.float32))


def still(**parts: np.ndarray) -> WarpFields:
    return WarpFields(flow=np.zeros((48, 48, 2), np.float32), **parts)


def linear(srgb: np.ndarray) -> np.ndarray:
    value = srgb.astype(np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(("asked", "given"), [(0.8, 0.8), (1.3, 1.3), (0.1, 0.6), (9.0, 1.6)])
def test_shading_is_a_ratio_of_linear_light_within_its_range(asked: float, given: float) -> None:
    picture = flat()
    result = warp_picture(picture, still(shading=np.full((48, 48, 3), asked, np.float32)))
    np.testing.assert_allclose(linear(result) / linear(picture), given, rtol=0.01)


def test_shading_flush_and_creases_leave_what_is_kept_to_the_byte() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (48, 48, 3), np.uint8)
    keep = np.zeros((48, 48), np.float32)
    keep[10:20] = 1
    ones = np.ones((48, 48), np.float32)
    fields = still(shading=np.full((48, 48, 3), 1.4, np.float32), flush=ones, crease=ones * 0.5, keep=keep)
    result = warp_picture(picture, fields)
    np.testing.assert_array_equal(result[10:20], picture[10:20])
    assert (result[25:] != picture[25:]).mean() > 0.5


def test_flush_reddens_pallor_pales_and_creases_darken() -> None:
    picture, ones = flat(), np.ones((48, 48), np.float32)
    flushed, pale, creased = (
        warp_picture(picture, still(**part)).mean(axis=(0, 1))
        for part in ({"flush": ones}, {"flush": -ones}, {"crease": ones})
    )
    assert flushed[0] - flushed[1] > 5 and pale[1] - pale[0] > 3 and creased.max() < 110


def test_outside_the_mask_not_a_byte_changes_and_the_seam_has_no_step() -> None:
    y, x = np.mgrid[0:128, 0:128]
    picture = to_uint8(np.stack([0.5 + 0.3 * np.sin(x / 6), 0.5 + 0.3 * np.cos(y / 7), 0.5 + 0.0 * x], -1))
    mask = np.zeros((128, 128), np.float32)
    mask[32:96, 32:96] = 1
    flow = np.zeros((128, 128, 2), np.float32)
    flow[..., 1] = 4
    fields = WarpFields(flow, shading=np.full((128, 128, 3), 1.3, np.float32))
    result = warp_picture(picture, fields, mask)
    np.testing.assert_array_equal(result[mask == 0], picture[mask == 0])
    whole = warp_picture(picture, fields)
    np.testing.assert_array_equal(result[60:68, 60:68], whole[60:68, 60:68])
    steps = np.abs(np.diff(result.astype(int), axis=0)).max()
    assert steps < 40, f"a step of {steps} at the seam"


def test_soft_inside_never_reaches_out() -> None:
    mask = np.zeros((60, 60), np.float32)
    mask[20:40, 10:50] = 1
    soft = soft_inside(mask)
    assert (soft[mask == 0] == 0).all() and soft[30, 30] == 1 and 0 < soft[21, 30] < 1


def test_the_editor_asks_for_each_pictures_fields_at_the_strength_asked() -> None:
    names = (PictureName("a", 0), PictureName("b", 7))
    asked = []

    def fields(name: PictureName, strength: float) -> WarpFields:
        asked.append((name, strength))
        return still(shading=np.full((48, 48, 3), 1 + 0.3 * name.frame / 7, np.float32))

    pictures = np.stack([flat(), flat()])
    editor = open_editor("warp", fields=fields)
    request = EditRequest(pictures, names, strength=0.5)
    edited = editor.edit(request, lambda event: None)
    assert asked == [(names[0], 0.5), (names[1], 0.5)]
    np.testing.assert_array_equal(edited[0], pictures[0])
    assert edited[1].mean() > pictures[1].mean() + 5
    untouched = EditRequest(pictures, names, strength=0.0)
    np.testing.assert_array_equal(editor.edit(untouched, lambda event: None), pictures)


def test_bad_fields_are_named() -> None:
    with pytest.raises(InputError, match="shading is"):
        warp_picture(flat(), still(shading=np.ones((48, 48), np.float32)))
    with pytest.raises(InputError, match="fill and fill_mask come together"):
        warp_picture(flat(), still(fill=flat()))
    lost = np.zeros((48, 48, 2), np.float32)
    lost[3, 3] = np.nan
    with pytest.raises(InputError, match="flow has values that are no numbers"):
        warp_picture(flat(), WarpFields(lost))
    with pytest.raises(InputError, match="needs the fields"):
        open_editor("warp")
