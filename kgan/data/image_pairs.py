"""Two domains in one folder: paired images such as pix2pix's edges and shoes, and near-infrared and visible faces."""

from collections import defaultdict
from pathlib import PurePosixPath

import numpy as np

from kgan.data.files import Files
from kgan.data.source import balanced_subset, check_split
from kgan.data.store import Store

SPLITS = ("train", "test")
FOLDERS = {"train": ("train",), "test": ("test", "val")}
PER_PERSON = {"train": 3, "test": 2}


def open_pair(path, split, image_size, channels, count, seed):
    """Opens one domain of image pairs; 128 x 128 RGB by default.

    `path` is `PATH:a` or `PATH:b`, where `PATH` is a folder or zip archive in one of two layouts:

    - pix2pix: `train/*.jpg` and `test/*.jpg` (or `val/*.jpg`). Each file holds two squares side by side, with domain a
      on the left.
    - CycleGAN and MUNIT: the folders `trainA`, `trainB`, `testA` and `testB`.

    There are no classes: all labels are 0.
    """
    store, domain = _open_domain(path, "pair", ("a", "b"))
    check_split(split, SPLITS)
    side = "ab".index(domain)
    pictures = store.pictures()
    for name in FOLDERS[split]:
        for folder, half in ((name, side), (name + "AB"[side], None)):
            if files := [file for file in pictures if PurePosixPath(file).parent.name == folder]:
                files = [files[i] for i in balanced_subset(np.zeros(len(files), int), count, seed)]
                return Files(store, files, [0] * len(files), ["all"], image_size or 128, channels or 3, half)
    names = " or ".join(f"{name} or {name}{'AB'[side]}" for name in FOLDERS[split])
    raise ValueError(f"{store.path} has no {split} images of domain {domain!r}: expected them in {names}")


def open_nir_vis(path, split, image_size, channels, count, seed):
    """Opens one domain of faces; 128 x 128 RGB by default.

    `path` is `PATH:nir` or `PATH:vis`, where `PATH` holds `NIR/<person>/*` and `VIS/<person>/*`. As in section 5.2 of
    Bai et al. (2020), people with at least five images in both domains are used. `seed` draws three images of each for
    training and two for testing.
    """
    if count is not None:
        raise ValueError("nir_vis takes three images per person for training and two for testing: leave out count")
    store, domain = _open_domain(path, "nir_vis", ("nir", "vis"))
    check_split(split, SPLITS)
    people = {"nir": defaultdict(list), "vis": defaultdict(list)}
    for file in store.pictures():
        parts = [part.lower() for part in PurePosixPath(file).parts[:-2]]
        for name, images in people.items():
            if parts and parts[-1] == name:
                images[PurePosixPath(file).parent.name].append(file)
    for name, images in people.items():
        if not images:
            raise ValueError(f"{store.path} has no images of domain {name!r}: expected them in {name.upper()}/<person>")
    needed = sum(PER_PERSON.values())
    names = sorted(name for name in people["nir"] if min(len(images[name]) for images in people.values()) >= needed)
    if len(names) < 2:
        raise ValueError(
            f"{store.path}: people with at least {needed} images in both domains: {len(names)}; at least 2 are needed"
        )
    files, labels = [], []
    for label, name in enumerate(names):
        images = people[domain][name]
        order = np.random.default_rng([seed, label]).permutation(len(images))[:needed]
        chosen = order[: PER_PERSON["train"]] if split == "train" else order[PER_PERSON["train"] :]
        files += [images[i] for i in chosen]
        labels += [label] * len(chosen)
    return Files(store, files, labels, names, image_size or 128, channels or 3)


def _open_domain(path, kind, domains):
    """Returns the store and the domain that `PATH:DOMAIN` names."""
    root, _, domain = path.rpartition(":")
    if domain not in domains or not root:
        raise ValueError(f"'{kind}:{path}': pass {' or '.join(repr(f'{kind}:PATH:{name}') for name in domains)}")
    return Store(root), domain
