import io

import numpy as np
from matplotlib.image import imread, imsave

from segclr.view.legend import with_legend
from segclr.view.points import LegendEntry


def picture(width=300, height=200):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png")
    return pixels, buffer.getvalue()


def drawn(png):
    return np.round(imread(io.BytesIO(png), format="png")[..., :3] * 255).astype(np.uint8)


def test_the_picture_stays_as_it_is_and_the_colours_stand_below_it():
    pixels, png = picture()
    entries = [LegendEntry(("#0072B2",), "axon (3)"), LegendEntry(("#D55E00",), "soma (1)", ringed=True)]
    whole = drawn(with_legend(png, entries, title="4 nodes"))
    assert np.array_equal(whole[:200], pixels)
    strip = {tuple(pixel) for pixel in whole[200:].reshape(-1, 3)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (255, 255, 255)} <= strip


def test_many_entries_take_more_lines_and_none_is_cut_off():
    _, png = picture()
    few, many = (
        drawn(with_legend(png, [LegendEntry(("#0072B2",), f"class {i} of a long name")] * n, title="t"))
        for i, n in enumerate((1, 9))
    )
    assert many.shape[0] > few.shape[0]
    assert (many[-3:] == 255).all()
    assert (many[:, -2:][200:] == 255).all()
