"""The effects of lens, light, sensor and file format on a drawn scene."""

import io
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from kgan.data.scenes.surfaces import grain, lit
from kgan.data.scenes.words import between, pick

# Factors by which a photograph is reduced after people have labelled its shop signs; one is picked at random.
REDUCED = (1, 1, 1.5, 2, 3)


class Camera:
    """The effects of lens, light, sensor and file format on a scene, drawn at random in advance.

    The canvas is larger than the final image by `scale`, so that reducing it antialiases the edges.
    """

    def __init__(self, rng, size):
        self.rng, self.size = rng, size
        height, width = size
        self.unit = min(size) / 240
        self.canvas_size = math.ceil(width * (s := rng.uniform(1.05, 1.3))), math.ceil(height * s)
        self.scale = np.array([self.canvas_size[0] / width, self.canvas_size[1] / height])
        self.filter = pick(rng, (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX))
        self.defocus = self.unit * rng.uniform(0.3, 1.0 if rng.random() < 0.7 else 2.2) if rng.random() < 0.45 else 0
        self.motion = self.shifts(rng) if rng.random() < 0.45 else None
        self.reduced = rng.uniform(0.45, 0.9) if rng.random() < 0.25 else None
        self.sharpen = rng.random() < 0.2
        self.reduction = pick(rng, REDUCED)
        self.glow = rng.uniform(0.3, 1) if rng.random() < 0.25 else 0
        self.frame = draw_frame(rng, width, height)
        self.frame_colour = pick(rng, ((0, 0, 0), (0, 0, 0), (255, 255, 255)))
        self.state = rng.bit_generator.state

    def shifts(self, rng):
        """Returns the path of a shaking camera: a straight line in whole pixels, mostly near-horizontal."""
        length = max(2.0, self.unit * math.exp(rng.uniform(math.log(3), math.log(15))))
        angle = rng.normal(0, 0.12) if rng.random() < 0.7 else rng.uniform(0, math.pi)
        steps = np.linspace(-length / 2, length / 2, round(length) + 1)
        return np.unique(np.round(steps[:, None] * [math.cos(angle), math.sin(angle)]).astype(int), axis=0)

    def blur(self, canvas):
        """Applies the linear effects: resizing, defocus, camera shake, and reduction followed by enlargement."""
        height, width = self.size
        image = canvas.resize((width, height), self.filter)
        if self.glow and image.mode == "RGB":
            # Lamps and lit signs shine over their surroundings.
            lights = image.point([max(0, round(3 * self.glow * (v - 215))) for v in range(256)] * 3)
            image = ImageChops.screen(image, lights.filter(ImageFilter.BoxBlur(6 * self.unit)))
        if self.defocus:
            image = image.filter(ImageFilter.GaussianBlur(self.defocus))
        if self.reduced:
            small = [max(8, round(n * self.reduced)) for n in image.size]
            image = image.resize(small, Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        if self.motion is not None:
            reach = int(np.abs(self.motion).max())
            padded = np.pad(pixels, [(reach, reach)] * 2 + [(0, 0)] * (pixels.ndim - 2), "edge")
            total = np.zeros(pixels.shape, "uint16")
            for dx, dy in self.motion:
                total += padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
            pixels = (total // len(self.motion)).astype("uint8")
        return pixels

    def take_ink(self, layer):
        """Returns the letters of an `ink_layer` as they appear in the final image, uint8 `(height, width)`."""
        ink = self.blur(layer)
        return ink if self.frame is None else np.where(np.asarray(self.frame) > 0, np.uint8(0), ink)

    def take(self, canvas):
        """Returns the final image, uint8 `(height, width, 3)`."""
        rng = self.rng
        # Each retake uses the same random draws.
        rng.bit_generator.state = self.state
        height, width = self.size
        image = Image.fromarray(self.blur(canvas))
        if rng.random() < 0.5:
            image = lit(rng, image, pick(rng, (0.3, 0.6, 0.9)))
        if self.sharpen:
            image = image.filter(ImageFilter.UnsharpMask(1.2, between(rng, 40, 150), 0))
        image = tone(rng, image)
        if rng.random() < 0.6:
            strength = math.exp(rng.uniform(math.log(1), math.log(12)))
            speckle = np.round(grain(rng, width, height, 3 if rng.random() < 0.6 else 1) * strength).astype("int16")
            pixels = np.asarray(image).astype("int16")
            pixels += speckle if speckle.ndim == 3 else speckle[..., None]
            image = Image.fromarray(np.clip(pixels, 0, 255).astype("uint8"))
        if self.frame is not None:
            image.paste(self.frame_colour, (0, 0), self.frame)
        if rng.random() < 0.8:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=between(rng, 30, 95), subsampling=pick(rng, (0, 2, 2)))
            image = Image.open(buffer)
        return np.asarray(image)


def tone(rng, image):
    """Applies exposure, contrast, gamma and colour cast as one table per channel; some images become grey."""
    if rng.random() < 0.06:
        image = image.convert("L").convert("RGB")
    level = np.arange(256) / 255
    gamma, contrast = math.exp(rng.normal(0, 0.25)), math.exp(rng.normal(0, 0.18))
    cast = 1 + rng.normal(0, 0.05, 3)
    exposure = math.exp(rng.normal(0, 0.15))
    dark = rng.uniform(0, 0.12) if rng.random() < 0.3 else 0
    curve = np.clip(((level**gamma - 0.5) * contrast + 0.5) * exposure, 0, 1) * (1 - dark) + dark
    tables = [np.clip(255 * curve * c, 0, 255).round().astype(int).tolist() for c in cast]
    return image.point(tables[0] + tables[1] + tables[2])


def draw_frame(rng, width, height):
    """Returns a mask (mode L) of a plain border or of the empty corners of a rotated image; mostly None."""
    kind = rng.random()
    if kind > 0.05:
        return None
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    if kind > 0.02:
        border = max(1, int(min(width, height) * rng.uniform(0.01, 0.06)))
        pen.rectangle((0, 0, width - 1, height - 1), outline=255, width=border)
    else:
        a, b = width * rng.uniform(0.05, 0.3), height * rng.uniform(0.05, 0.3)
        for x, y, sx, sy in ((0, 0, 1, 1), (width, 0, -1, 1), (0, height, 1, -1), (width, height, -1, -1)):
            pen.polygon([(x, y), (x + sx * a, y), (x, y + sy * b)], 255)
    return mask
