"""sRGB to CIE Lab and back, for the white point D65. Values of sRGB run from 0 to 255."""

import numpy as np

WHITE = (0.95047, 1.0, 1.08883)
_XYZ = np.array([(0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227)])
# Linear sRGB to XYZ as shares of the white point's, for rows of pixels.
TO_XYZ = (_XYZ / np.array(WHITE)[:, None]).T.astype("float32")
TO_RGB = np.linalg.inv(TO_XYZ.astype("float64")).astype("float32")
# The curve of Lab is a cube root, below this value a straight line.
KNEE, SLOPE, OFFSET = 0.008856, 7.787, 16 / 116


def rgb_to_lab(rgb):
    """Converts sRGB `(..., 3)`, 0 to 255, to Lab, float32: L from 0 to 100, a and b about -100 to 100."""
    value = np.asarray(rgb, "float32") / np.float32(255)
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92).astype("float32")
    xyz = linear @ TO_XYZ
    x, y, z = np.moveaxis(np.where(xyz > KNEE, np.cbrt(xyz), SLOPE * xyz + OFFSET), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype("float32")


def lab_to_rgb(lab):
    """Converts Lab `(..., 3)` to sRGB, float32; colours that a screen cannot show are cut off at 0 and 255."""
    light, a, b = np.moveaxis(np.asarray(lab, "float32"), -1, 0)
    y = (light + 16) / 116
    roots = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(roots > KNEE ** (1 / 3), roots**3, (roots - OFFSET) / SLOPE)
    linear = np.clip(xyz @ TO_RGB, 0, 1)
    value = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.clip(value * 255, 0, 255).astype("float32")
