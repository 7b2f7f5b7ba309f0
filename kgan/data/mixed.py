"""Batches of real and of generated images with multi-labels."""

import numpy as np
from PIL import Image

from kgan.data.batches import EpochShuffledDataset, SourceBatches, endless


class MixedBatches(EpochShuffledDataset):
    """Batches of real images, with generated ones beside them, for `MultiLabelClassifier`.

    Each batch has as many real images as without generated ones, in the same order, and `share` times as many generated
    ones. It is a pair of dicts `{"real": ..., "generated": ...}`, of images in [-1, 1] and of float32 labels; without
    generated images it is a plain pair. Images are flipped and cropped at random. Orders, flips and crops depend only
    on `seed`, the epoch and the batch, so a resumed run repeats them. The generated images come in one random order
    after another, whatever their number.

    To label generated images anew each epoch, replace `labels["generated"]` in a callback's `on_epoch_begin`.

    Args:
        real: `(images, labels)` with images `(n, height, width, 3)`, uint8 or float in [-1, 1], and labels
            `(n, classes)`, or a `SourceBatches` from `kgan.data.load`.
        generated: the same for generated images, or None. They are resized to the size of the real ones.
        batch_size: real images per batch; the last batch holds the remainder.
        share: generated images for each real one, above 0.
        image_size: height and width of the random crops; None does not crop.
        flip: whether every other image is mirrored.
        seed: non-negative int.
        initial_epoch: as in `Batches`.

    Raises:
        ValueError: images and labels differ in number, one has none, `share` is not positive, the crop is larger than
            the images, the labels of the two kinds have different widths, or a label is none of 1, 0 and -1 (real) or
            not in [0, 1] (generated).

    Example:

    ```python
    import numpy as np
    from kgan.data import MixedBatches

    real = np.zeros((48, 32, 32, 3), "float32"), np.zeros((48, 5), "int32")
    generated = np.zeros((100, 16, 16, 3), "uint8"), np.full((100, 5), 0.2, "float32")
    images, labels = MixedBatches(real, generated, share=0.5)[0]
    images["generated"].shape  # (12, 32, 32, 3)
    ```
    """

    def __init__(
        self, real, generated=None, batch_size=24, share=1.0, image_size=None, flip=True, seed=0, initial_epoch=0
    ):
        kinds = {"real": _parts(real)} | ({} if generated is None else {"generated": _parts(generated)})
        for kind, (_, labels, _) in kinds.items():
            if labels.ndim != 2 or labels.shape[1] != kinds["real"][1].shape[1]:
                raise ValueError(f"labels {labels.shape} of {kind} images: pass (images, classes), as many for all")
            check_label_values(labels, kind)
        if not 0 < share < np.inf or batch_size < 1:
            raise ValueError(f"share={share}, batch_size={batch_size}: pass numbers above 0")
        self.take = {kind: take for kind, (take, _, _) in kinds.items()}
        self.labels = {kind: labels for kind, (_, labels, _) in kinds.items()}
        self.full_size = kinds["real"][2]
        self.image_size = image_size or self.full_size
        if self.image_size > self.full_size:
            raise ValueError(f"image_size={image_size}: the images are only {self.full_size} pixels")
        self.share, self.flip = share, flip
        super().__init__(len(self.labels["real"]), batch_size, seed, initial_epoch)

    def __getitem__(self, index):
        rows = {"real": self.batch_indices(index)}
        if "generated" in self.labels:
            sizes = self.batch_size, self.size - (len(self) - 1) * self.batch_size
            in_full, in_last = (max(1, round(self.share * size)) for size in sizes)
            first = self.epoch * ((len(self) - 1) * in_full + in_last) + index * in_full
            places = range(first, first + (in_last if index == len(self) - 1 else in_full))
            pool = np.arange(len(self.labels["generated"]))
            rows["generated"] = np.array([endless(pool, (self.seed, 1), place) for place in places])
        batch = {kind: self._made(kind, chosen, index) for kind, chosen in rows.items()}
        images, labels = ({kind: pair[i] for kind, pair in batch.items()} for i in range(2))
        return (images, labels) if "generated" in batch else (images["real"], labels["real"])

    def _made(self, kind, rows, index):
        rng = np.random.default_rng((self.seed, self.epoch, index, kind == "generated"))
        images, rows = self.take[kind](rows)
        images = resized(images, self.full_size)
        corners = rng.integers(0, self.full_size - self.image_size + 1, (len(rows), 2))
        mirrored = rng.integers(0, 2, len(rows)) if self.flip else np.zeros(len(rows), int)
        size = self.image_size
        cut = np.stack(
            [
                image[y : y + size, x : x + size][:, :: 1 - 2 * mirror]
                for image, (y, x), mirror in zip(images, corners, mirrored, strict=True)
            ]
        )
        labels = np.asarray(self.labels[kind])[rows]
        check_label_values(labels, kind)  # they may have been replaced
        return to_unit(cut), labels.astype("float32")


def check_label_values(labels, kind):
    """Raises ValueError unless the labels of `"real"` images are 1, 0 or -1, or those of `"generated"` in [0, 1]."""
    if kind == "real" and not np.isin(labels, (1, 0, -1)).all():
        raise ValueError("Labels of real images must be 1, 0 or -1 (unspecified).")
    if kind == "generated" and not ((labels >= 0) & (labels <= 1)).all():  # NaN is neither
        raise ValueError("Labels of generated images must be in [0, 1].")


def to_unit(images):
    """Scales uint8 images to float32 in [-1, 1]; leaves float images as they are."""
    return images / np.float32(127.5) - 1 if images.dtype == np.uint8 else images.astype("float32")


def to_pixels(images):
    """Rounds float images in [-1, 1] to uint8."""
    return np.clip(np.round((np.asarray(images) + 1) * 127.5), 0, 255).astype("uint8")


def _parts(data):
    """Returns a function of rows that returns images and their rows, the labels, and the size of the images."""
    if isinstance(data, SourceBatches):
        return data.source.readable, np.asarray(data.labels), data.source.image_size
    images, labels = data
    labels = np.asarray(labels)
    if isinstance(images, (list, tuple)):  # `Samples` stay on disk
        images = np.asarray(images)
    if not len(images) or len(images) != len(labels):
        raise ValueError(f"{len(images)} images and {len(labels)} labels: pass as many of both, at least one")
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise ValueError(f"images {images.shape}: pass squares (images, size, size, 3)")
    return (lambda rows: (images[rows], rows)), labels, images.shape[1]


def resized(images, size):
    """Returns images `(n, size, size, 3)`, resized if they have another size; uint8 then, whatever they were."""
    if images.shape[1] == size:
        return images
    if images.dtype != np.uint8:
        images = to_pixels(images)
    bicubic = Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), bicubic)) for image in images])
