"""The pictures of `makeup_mt.py`."""

import numpy as np
from keras import ops
from makeup_scores import lit, rendered

from kgan import plots
from kgan.faces import PARTS
from kgan.faces.mesh import region


def attention(path, light, pairs, columns=8):
    """Figure 2: textures lit from one side, where they are darker than on the other side, and what each mask says.

    White is to be taken from the other side, black from its own.
    """
    at = one_sided(pairs, columns, made_up=False)
    textures = pairs["reference_texture"][at]
    size = textures.shape[1]
    face = (region("face", size) > 0.5)[..., None]
    rows = {"reference": textures}
    if "reference_shade" in pairs:
        shade = pairs["reference_shade"][at]
        rows["darker side"] = _grey(shade < shade[:, :, ::-1], face)
    for attention in ("paper", "asymmetry", "calibrated"):
        for layer, mask in enumerate(light.masks(textures, attention), 1):
            mask = ops.image.resize(mask, (size, size), "nearest", data_format="channels_last")
            rows[f"{attention}, layer {layer}"] = _grey(ops.convert_to_numpy(ops.stop_gradient(mask)), face)
    plots.save_image(path, plots.labelled_rows(rows))


def _grey(mask, face):
    return np.where(face, 2 * np.asarray(mask, "float32") - 1, 1).repeat(3, axis=-1)


def transfers(path, pairs, painted, columns):
    """Figures 3 and 4: sources, references lit from one side, the truth, and what each row makes.

    Args:
        painted: `{title: images}` of all pairs.
    """
    at = one_sided(pairs, columns)
    rows = {"source": pairs["source_image"][at], "reference": pairs["reference_image"][at]}
    if "target_texture" in pairs:
        rows["truth"] = rendered(pairs["target_texture"], pairs)[at]
    rows |= {title: images[at] for title, images in painted.items() if title != "Untouched source"}
    plots.save_image(path, plots.labelled_rows(rows))


def one_sided(pairs, count, made_up=True):
    """The first pairs whose reference is lit from one side, and whose makeup shows; any where there are none."""
    at = lit(pairs, "one side")
    if made_up and "target_texture" in pairs:
        change = np.abs(pairs["target_texture"] - pairs["source_texture"]).mean(axis=(1, 2, 3))
        at = at & (change > np.median(change))
    return np.flatnonzero(at if at.any() else np.ones_like(at))[:count]


def shades(path, model, pairs, columns=8):
    """More and more of the makeup, each part by itself, and from one reference to another."""
    at = one_sided(pairs, columns)
    some = {key: value[at] for key, value in pairs.items()}
    source, reference = some["source_texture"], some["reference_texture"]
    rows = {"source": source, "reference": reference}
    rows |= {f"shade {shade}": model.transfer(source, reference, shade) for shade in (0.0, 0.25, 0.5, 0.75, 1.0)}
    rows |= {f"{part} alone": model.transfer(source, reference, parts=[part]) for part in PARTS}
    other = np.roll(reference, 1, axis=0)
    between = model.interpolate(source, reference, other, steps=5)
    rows |= {f"{share} % of the next one": between[:, i] for i, share in enumerate((0, 25, 50, 75, 100))}
    rows["removed"] = model.remove(reference, source)
    plots.save_image(path, plots.labelled_rows(rows))


def matrix(path, model, pairs, columns=8, count=5):
    """Figure 5: each of some sources with each of some references."""
    at = one_sided(pairs, columns)
    some = {key: value[at] for key, value in pairs.items()}
    rows = {"reference": some["reference_image"]}
    for i in range(min(count, len(at))):
        same = {key: np.repeat(value[i : i + 1], len(at), axis=0) for key, value in some.items()}
        made = rendered(model.transfer(same["source_texture"], some["reference_texture"]), same)
        rows[f"source {i + 1}"] = np.concatenate([same["source_image"][:1], made])
    rows["reference"] = np.concatenate([np.ones_like(rows["reference"][:1]), rows["reference"]])
    plots.save_image(path, plots.labelled_rows(rows))
