"""TensorFlow Datasets by name: any data set with an image and a class label, or the classes of the things in it."""

import contextlib
import difflib
import re

import keras
import numpy as np

from kgan.data.source import balanced_subset, check_split, random_split, random_subset, stratified_split

# Suggested when TFDS is not installed and cannot list its data sets.
WELL_KNOWN = ("oxford_flowers102", "mnist", "svhn_cropped", "caltech_birds2011", "lfw")
INSTALL = "pip install tensorflow tensorflow-datasets"
SHUFFLE_BYTES = 2**27


def load_tfds(name, split, image_size, channels, count, seed, batch_size, data_dir, others):
    """Returns a `tf.data.Dataset` of batches `(images, labels)`; the train split is reshuffled each epoch."""
    builder = open_builder(name, data_dir, others)
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # Otherwise TensorFlow takes the GPU's memory from the backend that computes.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    fetch(builder, name)
    height, width, depth = builder.info.features["image"].shape
    bordered = (height, width) == (28, 28)
    image_size = image_size or (32 if bordered else height if height and height == width else 64)
    channels = channels or (1 if depth == 1 else 3)
    part, labels, kept = choose(builder, split, count, seed)
    things = things_of(builder)

    def to_square(index, example):
        image = tf.image.convert_image_dtype(example["image"], "float32")
        if bordered:
            image = tf.image.resize_with_crop_or_pad(image, 32, 32)
        if depth == 1:
            image = tf.image.grayscale_to_rgb(image)
        image = image[..., :3] if channels == 3 else tf.image.rgb_to_grayscale(image[..., :3])
        if not things:  # a cut could lose what a label names
            side = tf.reduce_min(tf.shape(image)[:2])
            image = tf.image.resize_with_crop_or_pad(image, side, side)
        image = tf.image.resize(image, (image_size, image_size), tf.image.ResizeMethod.LANCZOS3, antialias=True)
        image = tf.ensure_shape(image, (image_size, image_size, channels))
        if labels is not None:
            label = tf.gather(labels, index)
        elif things:
            found = example["objects"]["label"][:, None] == tf.range(things.num_classes, dtype="int64")
            label = tf.reduce_any(found, axis=0)
        else:
            label = example["label"]
        # uint8 takes a quarter of the memory of float32 in the shuffle buffer.
        return tf.image.convert_image_dtype(image, "uint8", saturate=True), tf.cast(label, "int32")

    dataset = builder.as_dataset(split=part).enumerate()
    if kept is not None:
        mask = np.isin(np.arange(len(labels)), kept)
        dataset = dataset.filter(lambda index, example: tf.gather(mask, index))
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(kept)))
    dataset = dataset.map(to_square, num_parallel_calls=tf.data.AUTOTUNE)
    if split == "train":
        dataset = dataset.shuffle(max(1024, SHUFFLE_BYTES // (image_size**2 * channels)), seed=seed)
    dataset = dataset.batch(batch_size)
    dataset = dataset.map(lambda images, labels: (tf.cast(images, "float32") / 127.5 - 1, labels))
    return dataset.prefetch(tf.data.AUTOTUNE)


def tfds_class_names(name, data_dir, others):
    """Returns the class names of a data set, sorted if its labels are text, as in `"lfw"`."""
    builder = open_builder(name, data_dir, others)
    if things := things_of(builder):
        return list(things.names)
    if has_text_labels(builder):
        fetch(builder, name)
        return text_class_names(builder)
    return list(builder.info.features["label"].names)


def open_builder(name, data_dir, others):
    """Returns the builder of a TFDS name, or raises an error that lists the known names."""
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        if name in WELL_KNOWN:
            raise ImportError(f"{name!r} needs TensorFlow Datasets: {INSTALL}") from None
        names, also = WELL_KNOWN, f"those of TensorFlow Datasets ({INSTALL})"
    else:
        names = tfds.list_builders(with_community_datasets=False)
        also = f"the {len(names)} names of TensorFlow Datasets"
        if re.split("[:/]", name)[0] in names:
            builder = tfds.builder(name, data_dir=data_dir)
            features = dict(builder.info.features)
            label = features.get("label")
            labelled = isinstance(label, tfds.features.ClassLabel | tfds.features.Text) or things_of(builder)
            if "image" not in features or not labelled:
                raise ValueError(
                    f"{name!r} has no image with a class label or with objects; its features: {', '.join(features)}"
                )
            return builder
    close = [own for own in others if name in own] or difflib.get_close_matches(name, [*others, *names])
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    raise ValueError(f"unknown data set {name!r}{hint} Known names: {', '.join(others)}, and {also}")


def fetch(builder, name):
    """Downloads and prepares the data unless they are present."""
    try:
        builder.download_and_prepare()
    except ImportError as error:
        raise ImportError(f"{name!r} needs a package that is not installed: pip install {error.name}") from error
    except Exception as error:  # The network, the host and the data set's script can raise any type.
        folder = builder.data_dir_root
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise FileNotFoundError(
            f"{name!r} is not in {folder} and the download failed ({reason}): tfds build {name} --data_dir {folder}"
        ) from error


def choose(builder, split, count, seed):
    """Chooses the samples of a split.

    Returns:
        part: name of the split to read.
        labels: int array of the labels of that split, or None to take them from the data set.
        kept: increasing int array of the samples to keep, or None for all.
    """
    available = tuple(builder.info.splits)
    part = split
    if split == "test" and builder.name == "coco":
        part = "validation"  # the labels of COCO's test images are not published
    elif split == "test" and "test" not in available:
        part = "validation" if "validation" in available else "train"
    check_split(part, available)
    in_one_piece = split in ("train", "test") and not {"test", "validation"} & set(available)
    things = things_of(builder)
    if not in_one_piece and count is None and (things or not has_text_labels(builder)):
        return part, None, None
    labels = read_labels(builder, part)
    if things:
        kept = random_split(len(labels), split, seed) if in_one_piece else np.arange(len(labels))
        return part, labels, kept[random_subset(len(kept), count, seed)]
    if has_text_labels(builder):
        labels = np.searchsorted(text_class_names(builder), [label.decode() for label in labels])
    kept = stratified_split(labels, split, seed) if in_one_piece else np.arange(len(labels))
    return part, labels, kept[balanced_subset(labels[kept], count, seed)]


def things_of(builder):
    """Returns the `ClassLabel` of the objects in an image, as in COCO, or None for a set with one label an image."""
    import tensorflow_datasets as tfds

    if "label" in dict(builder.info.features):
        return None
    objects = dict(builder.info.features).get("objects")
    label = dict(objects.feature).get("label") if isinstance(objects, tfds.features.Sequence) else None
    return label if isinstance(label, tfds.features.ClassLabel) else None


def has_text_labels(builder):
    return not hasattr(builder.info.features["label"], "names")


def text_class_names(builder):
    """Returns the sorted class names that occur in any split."""
    return sorted({label.decode() for part in builder.info.splits for label in read_labels(builder, part)})


def read_labels(builder, part):
    """Returns the labels of a split in the order of its samples, `(n,)` or `(n, classes)`, without decoding images."""
    import tensorflow_datasets as tfds

    examples = builder.as_dataset(split=part, decoders={"image": tfds.decode.SkipDecoding()})
    if things := things_of(builder):
        found = [example["objects"]["label"] for example in examples.as_numpy_iterator()]
        return np.array([np.isin(np.arange(things.num_classes), some) for some in found], "int32")
    return np.array([example["label"] for example in examples.as_numpy_iterator()])
