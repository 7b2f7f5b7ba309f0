"""Makes `docs/images/flowers.png`, the picture of the README, from a model of drawn flowers.

    python docs/picture.py flowers_drawn_64

Three blocks, a row for each species: drawn flowers of the test split, generated ones,
and morphs between two drawn ones.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import kgan
from kgan import plots

WIDTH = 900  # pixels
SHOWN = ("daisy", "sunflower", "poppy", "pansy", "cornflower", "gazania")
EACH = 5  # images of a species in each block


def blocks(model):
    """`{title: images (species * EACH, height, width, 3)}`, row by row."""
    names = kgan.data.class_names("synthetic/flowers")
    images, labels = kgan.data.load("synthetic/flowers", "test", image_size=model.image_size)
    real, generated, morphs = [], [], []
    for name in SHOWN:
        label = names.index(name)
        found = images[labels == label][:EACH]
        real.append(found)
        generated.append(model.generate([label] * EACH, seed=label))
        morphs.append(model.morph(found[:1], found[1:2], label, steps=EACH)[0])
    return {"real": np.concatenate(real), "generated": np.concatenate(generated), "morph": np.concatenate(morphs)}


def picture(shown):
    """The blocks side by side, each below its title: a Pillow image `WIDTH` pixels wide."""
    gap, title = 20, 28
    size = (WIDTH - gap * (len(shown) - 1)) // len(shown)
    made = Image.new("RGB", (WIDTH, 1), "white")
    for number, (name, images) in enumerate(shown.items()):
        grid = Image.fromarray(plots.image_grid(images, EACH))
        grid = grid.resize((size, round(size * grid.height / grid.width)), Image.Resampling.LANCZOS)
        if made.height == 1:
            made = Image.new("RGB", (WIDTH, title + grid.height), "white")
        left = number * (size + gap)
        made.paste(grid, (left, title))
        middle = (left + size / 2, title / 2)
        ImageDraw.Draw(made).text(middle, name, fill="black", anchor="mm", font_size=18)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="preset or .keras file")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "flowers.png")
    options = parser.parse_args()
    made = picture(blocks(kgan.presets.load(options.model)))
    # 128 colours are as good to the eye, and keep the file at about 150 kB.
    made.quantize(128, dither=Image.Dither.NONE).save(options.out, optimize=True)
    print(f"{options.out}: {made.width}x{made.height}, {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
