"""How well faces, lips and what hides a face are found in photographs with parsing maps.

    python tests/benchmarks/makeup_faces.py makeup_faces.zip

The folder or archive has images/KIND/NAME.png and seg/KIND/NAME.png, parsing maps in the numbers of CelebAMask-HQ's
BiSeNet. Printed are means, medians and the least over all photographs, and means over the even and the odd ones in
order of their names: constants were chosen on the even ones.

- Round trip: the PSNR of a photo's face, eyes and mouth aside, drawn again from its 512 x 512 texture.
- Lips: the intersection over union of `lip_mask`, drawn into the photo, with the lips of the map; and the same of the
  mesh alone.
- Covers: the area under the ROC curve of `uncovered` for background, glasses, hair, hats and clothes, among these, skin
  and nose, on the skin of the mesh, over the texels of all photographs together; and the share of skin and nose that
  is called hidden.
- Drawn covers: the intersection over union of what `uncovered` says is hidden with what was drawn over the texture: a
  rectangle on forehead, cheek or chin in one of ten colours; and hair, glasses and a hand as drawn faces have them, but
  not in the photo's light. The network has learned from such things on drawn faces, so that real ones may be harder.
  Photos where it hides no visible skin do not count.
"""

import argparse
import io

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

from kgan.data.faces.painter import FacePainter, Layer, behind
from kgan.data.store import Store
from kgan.faces.colour import lab_to_rgb, rgb_to_lab
from kgan.faces.covers import uncovered
from kgan.faces.finder import find_faces
from kgan.faces.look import SIZE
from kgan.faces.mesh import interpolated, region
from kgan.faces.skin import skin_area
from kgan.faces.texture import read_texture, render, unwrap, visibility
from kgan.faces.transfer import lip_mask

LIPS, SKIN, COVERS = (12, 13), (1, 10), (0, 6, 16, 17, 18)
COLOURS = "black", "white", "gray", "navy", "green", "darkred", "gold", "purple", "teal", "saddlebrown"
# Left, top, right and below in the texture.
PLACES = {"forehead": (0.35, 0.12, 0.65, 0.27), "cheek": (0.12, 0.5, 0.3, 0.68), "chin": (0.38, 0.82, 0.62, 0.95)}


def overlap(one, other):
    return (one & other).sum() / max(1, (one | other).sum())


def drawn(mask, points, shape):
    return render(mask[..., None].astype("float32"), points, shape)[0][..., 0] > 0.5


def measure(photo, parsing, number):
    """The numbers of a photo, a `PIL.Image.Image`, with its parsing map of the same size or None."""
    points, shape = find_faces(photo, small=False)[0].points, photo.size[::-1]
    pixels = np.asarray(photo, "float32")
    again, covered = render(unwrap(pixels, points, SIZE), points, shape)
    found = {"round trip, dB": -10 * np.log10(np.mean((again - pixels)[covered] ** 2) / 255**2)}
    texture = read_texture(photo, points, SIZE)
    if parsing is not None:
        lips = np.isin(parsing, LIPS)
        found["lips, IoU"] = overlap(drawn(lip_mask(texture), points, shape), lips)
        found["lips of the mesh, IoU"] = overlap(drawn(region("lips", SIZE), points, shape), lips)
        places = interpolated(points[:, :2], SIZE).astype(int)
        column, row = (np.clip(places[..., i], 0, photo.size[i] - 1) for i in (0, 1))
        labels = parsing[row, column]
        at = skin_area(SIZE) & (visibility(points, shape, SIZE) > 0.5) & np.isin(labels, (*SKIN, *COVERS))
        found["covers"] = np.isin(labels[at], COVERS)[::16], -texture.visible[at][::16]
        found["skin called hidden, share"] = np.mean(texture.visible[at & np.isin(labels, SKIN)] < 0.5)
    layers = {}
    rng, painter = np.random.default_rng(number), FacePainter(SIZE)
    tone = lab_to_rgb(texture.tone[None])[0] / 255
    for what, layer in (
        ("hair", painter.draw_fringe(rng)),
        ("glasses", painter.draw_glasses(rng)),
        ("hand", painter.draw_hand(rng, tone)),
    ):
        layers[what] = layer
    place, box = list(PLACES.items())[number % len(PLACES)]
    left, top, right, below = (int(edge * SIZE) for edge in box)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top:below, left:right] = True
    colour = np.array(Image.new("RGB", (1, 1), COLOURS[number % len(COLOURS)])).reshape(3)
    layers["rectangle"] = Layer(mask, colour / 255)
    seen, rgb = visibility(points, shape, SIZE), unwrap(pixels, points, SIZE)
    at = skin_area(SIZE) & (seen > 0.5) & (uncovered(rgb_to_lab(rgb), seen) > 0.5)
    for what, layer in layers.items():
        mask = layer.alpha > 0.5
        hidden = uncovered(rgb_to_lab(255 * behind(rgb / 255, layer)), seen) < 0.5
        if (mask & at).any():
            found[f"drawn {what}, IoU"] = overlap(hidden & at, mask & at)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", help="folder or zip archive")
    store = Store(parser.parse_args().photos)
    results = {}
    for number, name in enumerate(name for name in store.pictures() if name.startswith("images/")):
        photo = Image.open(io.BytesIO(store.read(name, 2**26))).convert("RGB")
        parsing, other = None, name.replace("images/", "seg/", 1)
        if other in store.names:
            parsing = Image.open(io.BytesIO(store.read(other, 2**26))).resize(photo.size, Image.Resampling.NEAREST)
            parsing = np.asarray(parsing)
        for what, value in measure(photo, parsing, number).items():
            results.setdefault(what, []).append((number, value))
    for what, numbered in results.items():
        parts = {"all": [value for _, value in numbered]}
        parts |= {word: [value for n, value in numbered if n % 2 == i] for i, word in enumerate(("even", "odd"))}
        if what == "covers":
            what, summary = "covers, AUC", lambda values: roc_auc_score(*map(np.concatenate, zip(*values, strict=True)))
            more = ""
        else:
            summary = np.mean
            more = f"; median {np.median(parts['all']):.3f}, least {min(parts['all']):.3f}"
            more += f", .8 or more in {np.mean(np.array(parts['all']) >= 0.8):.0%}"
        means = ", ".join(f"{word} {summary(values):.3f}" for word, values in parts.items())
        print(f"{what}, {len(numbered)} photos: {means}{more}")


if __name__ == "__main__":
    main()
