"""Pictures that take a page of code: one image a label, the edits of CVAE-GAN, the translations of MM-SSIT."""

import numpy as np
from sklearn.manifold import TSNE

from kgan import plots


def save_rows(path, rows):
    """Write a row of images for each label, as `kgan.plots.labelled_rows` draws them."""
    plots.save_image(path, plots.labelled_rows(rows))


def edits(out, model, first, second, classes, names):
    """What CVAE-GAN's encoder allows: reconstructions, morphing, inpainting, super-resolution, and mixed classes.

    Args:
        first, second: two real images `(n, height, width, channels)` of each of the `classes`.
        names: of all classes.
    """
    save_rows(out / "reconstructions.png", {"real": first, "reconstructed": model.reconstruct(first, classes)})

    morphed = model.morph(first, second, classes, steps=9)
    save_rows(
        out / "morphing.png",
        {names[c]: np.stack([first[i], *morphed[i], second[i]]) for i, c in enumerate(classes)},
    )

    size = first.shape[1]
    mask = np.zeros((size, size, 1), "float32")
    patch = round(size * 50 / 128)  # the paper corrupts 50 x 50 of 128 x 128 pixels
    top, left = np.random.default_rng(0).integers(0, size - patch, 2)
    mask[top : top + patch, left : left + patch] = 1
    corrupted = first * (1 - mask)
    rows = {"real": first, "corrupted": corrupted}
    rows.update({f"iteration {n}": model.inpaint(corrupted, classes, mask, iterations=n) for n in (1, 2, 5, 10)})
    save_rows(out / "inpainting.png", rows)

    small = first.reshape(len(first), size // 4, 4, size // 4, 4, -1).mean(axis=(2, 4))
    rows = {"real": first, "1/4 size": small.repeat(4, axis=1).repeat(4, axis=2)}
    rows.update({f"iteration {n}": model.super_resolve(small, classes, iterations=n) for n in (1, 10)})
    save_rows(out / "super_resolution.png", rows)

    rng = np.random.default_rng(0)
    mixes = [rng.choice(len(names), 3 if len(names) > 2 else 2, replace=False) for _ in range(4)]
    rows = {" + ".join(names[c] for c in mix): model.mix_identities(np.tile(mix, (8, 1)), seed=1) for mix in mixes}
    save_rows(out / "mixed.png", rows)


def translations(model, images, source, target):
    """A row `(9, height, width, 3)` for each image: itself, and what it becomes with eight styles, always the same."""
    return np.concatenate([images[:, None], model.translate(images, source, target, samples=8, seed=0)], axis=1)


def translated_digits(folder, model, test, shown, directions):
    """Figure 9 of MM-SSIT, styles of other images, an interpolation of styles, and a t-SNE map of the contents.

    Args:
        test: `{domain: (images, labels)}`.
        shown: `{domain: images}`, one of each class.
        directions: `{name: (source, target)}`.
    """
    names = [str(c) for c in np.unique(test["a"][1])]
    for direction, (source, target) in directions.items():
        rows = translations(model, shown[source], source, target)
        save_rows(folder / f"{direction}.png", dict(zip(names, rows, strict=True)))

    images, references = shown["b"], test["a"][0][:8]
    _, styles = model.encode(references, "a")
    translated = np.concatenate([images[:, None], model.translate(images, "b", "a", styles)], axis=1)
    rows = {"style of": np.concatenate([np.ones_like(images[:1]), references])}
    save_rows(folder / "references.png", rows | dict(zip(names, translated, strict=True)))

    first, last = np.random.default_rng(0).standard_normal((2, model.style_dim))
    between = model.interpolate(images, "b", "a", first, last)
    save_rows(folder / "interpolation.png", dict(zip(names, between, strict=True)))

    contents = [model.encode(test[d][0][:500], d)[0] for d in "ab"]
    classes = np.concatenate([test[d][1][:500] for d in "ab"])
    domains = np.repeat(["s", "t"], [len(c) for c in contents])
    points = TSNE(random_state=0).fit_transform(np.concatenate(contents))
    plots.scatter(folder / "codes.png", points, {"class": classes, "domain": domains})
