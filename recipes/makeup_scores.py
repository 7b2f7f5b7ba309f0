"""What `makeup_mt.py` measures, and its tables."""

import common
import numpy as np
from keras import ops
from scipy import stats
from sklearn.metrics import roc_auc_score

from kgan.data.faces.painter import LIGHTS
from kgan.faces import PARTS
from kgan.faces.colour import lab_to_rgb, rgb_to_lab
from kgan.faces.raster import resized
from kgan.faces.skin import part_map, skin_tone
from kgan.faces.texture import Texture
from kgan.faces.transfer import colour_transfer, repaired
from kgan.models.makeup.illumination import ATTENTIONS, DARKER

GREY_LEVELS = 127.5  # in a unit of colours in [-1, 1]
# Groups of pairs by the light of the reference. No flip repairs light from the top or below.
GROUPS = {"front": ("front",), "one side": ("left", "right"), "top or bottom": ("top", "bottom")}
SKINS, POSES = ("dark", "medium", "light"), ("frontal", "half-turned", "turned")  # thirds of the pairs
# The user survey of the paper, share of first places in % (Table 2).
REPORTED = {
    "BeautyGAN": (18.5, 13.0),
    "PSGAN": (14.0, 6.5),
    "SCGAN": (14.5, 8.0),
    "SSAT": (19.5, 11.0),
    "Song, 2024": (33.5, 61.5),
}


def rendered(textures, pairs):
    """Images of sources with other textures, `(n, height, width, 3)`, by their difference, as in `MakeupGAN`."""
    change = (textures - pairs["source_texture"]).reshape(len(textures), -1, 3)
    faces = [
        (row[index] * weight[..., None]).sum(axis=1)
        for row, index, weight in zip(change, pairs["source_index"], pairs["source_weight"], strict=True)
    ]
    images = pairs["source_image"]
    return images + pairs["source_alpha"] * np.reshape(faces, images.shape)


def colour_transferred(pairs, references="reference"):
    """Sources made up by `kgan.faces.transfer.colour_transfer`, which needs textures of 128 texels at least.

    Args:
        references: `"reference"` or `"reference_even"`, whose textures to take the makeup from.
    """
    painted = np.empty_like(pairs["source_texture"])
    for i in range(len(painted)):
        size = painted.shape[1]
        looks = []
        for role, name in (("source", "source"), ("reference", references)):
            lab = rgb_to_lab((pairs[f"{name}_texture"][i] + 1) * GREY_LEVELS)
            lab, visible = (resized(x, max(128, size)) for x in (lab, pairs[f"{role}_visibility"][i, ..., 0]))
            looks.append(Texture(lab, visible, skin_tone(lab, visible)))
        source, look = looks
        lab = source.lab + colour_transfer(source, repaired(look))
        change = resized(lab_to_rgb(lab) - lab_to_rgb(source.lab), size)
        painted[i] = np.clip(pairs["source_texture"][i] + change / GREY_LEVELS, -1, 1)
    return painted


def lit(pairs, group):
    """Which references are lit as one of `GROUPS` says, bool `(n,)`; of photographs, whose light nobody knows, all."""
    if "reference_light" not in pairs:
        return np.ones(len(pairs["source_image"]), bool)
    return np.isin(pairs["reference_light"], [LIGHTS.index(kind) for kind in GROUPS[group]])


def errors(images, truth, pairs):
    """Mean absolute errors in grey levels of each pair and part, `{part: (n,)}`; NaN where a pair does not show it."""
    apart = np.abs(images - truth).mean(axis=-1) * GREY_LEVELS
    shown = pairs["source_alpha"][..., 0] > 0.5
    found = {}
    for number, part in enumerate(PARTS, 1):
        at = (pairs["source_parts"] == number) & shown
        count = at.sum(axis=(1, 2))
        found[part] = np.where(count > 3, (apart * at).sum(axis=(1, 2)) / np.maximum(count, 1), np.nan)
    return found


def measured(images, textures, pairs, evenly=None):
    """The numbers of one method.

    Args:
        images: made-up sources `(n, height, width, 3)` in [-1, 1].
        textures: the same as textures, or None if there are none.
        pairs: what `kgan.data.load_makeup` returned.
        evenly: `textures` with the reference in even light, or None.
    """
    numbers = _against_truth(images, pairs) if "target_texture" in pairs else {}
    beside = pairs["source_alpha"] == 0
    noise = float(((images - pairs["source_image"]) ** 2 * beside).sum() / max(1, beside.sum() * 3))
    numbers["background_psnr"] = float(10 * np.log10(4 / noise)) if noise > 1e-12 else None
    return numbers if textures is None else numbers | _of_textures(textures, pairs, evenly)


def _against_truth(images, pairs):
    """Errors in % of the untouched source's, `{group of pairs: {part: error}}`; of all pairs in grey levels, too."""
    own, even = (rendered(pairs[f"{light}_texture"], pairs) for light in ("target", "even"))
    before, now = errors(pairs["source_image"], own, pairs), errors(images, own, pairs)
    numbers = {"grey_levels": {part: _mean(now[part]) for part in PARTS}}
    everyone = np.ones(len(images), bool)
    seen = pairs["source_visibility"][..., 0]
    half = seen.shape[2] // 2
    turn = np.abs(seen[:, :, :half].mean(axis=(1, 2)) - seen[:, :, half:].mean(axis=(1, 2)))
    groups = {
        "all": everyone,
        **{name: lit(pairs, name) for name in GROUPS},
        **_thirds(pairs["source_tone"], [f"{name} skin" for name in SKINS]),
        **_thirds(turn, [f"{name} pose" for name in POSES]),
    }
    for name, group in groups.items():
        numbers[name] = {part: 100 * _mean(now[part][group]) / _mean(before[part][group]) for part in PARTS}
    in_even = [errors(x, even, pairs) for x in (images, pairs["source_image"])]
    return numbers | {"even light": {part: 100 * _mean(in_even[0][part]) / _mean(in_even[1][part]) for part in PARTS}}


def _of_textures(textures, pairs, evenly):
    """Numbers that need textures: asymmetry, distance of the lips' colours, leak of light."""
    parts = part_map(textures.shape[1])
    change = (textures - pairs["source_texture"]).mean(axis=-1) * GREY_LEVELS
    numbers = {"asymmetry": float(np.abs(change - change[:, :, ::-1])[:, parts > 0].mean())}
    for number, part in enumerate(PARTS, 1):
        ordered = [np.sort(x[:, parts == number], axis=1) for x in (textures, pairs["reference_texture"])]
        numbers[f"{part}_wasserstein"] = float(np.abs(ordered[0] - ordered[1]).mean() * GREY_LEVELS)
    if evenly is not None:
        light = np.abs(pairs["reference_texture"] - pairs["reference_even_texture"])[:, parts > 0].mean()
        numbers["leak"] = float(100 * np.abs(textures - evenly)[:, parts > 0].mean() / light)
    return numbers


def _thirds(values, names):
    """Which samples are in the lowest, the middle and the highest third of some values, `{name: bool (n,)}`."""
    third = stats.rankdata(values, "ordinal") * 3 // (len(values) + 1)
    return {name: third == i for i, name in enumerate(names)}


def of_masks(light, pairs):
    """How well masks tell the dark side of references that are lit from one side.

    Returns:
        `{mask: [[area under the ROC curve, error of log light] of each layer]}`; the error is that of both sides to the
        lighter one after eq. 4, and under the key `"untouched"` before it.
    """
    at = lit(pairs, "one side")
    textures, shade = pairs["reference_texture"][at], np.log(np.maximum(pairs["reference_shade"][at], 1e-3))
    face = part_map(textures.shape[1]) > 0
    difference, best = (shade - shade[:, :, ::-1])[:, face], np.maximum(shade, shade[:, :, ::-1])
    clear = np.abs(difference) > DARKER
    found = {"untouched": [[0.5, float(np.abs(best - shade)[:, face].mean())]]}
    for attention in ATTENTIONS:
        found[attention] = []
        for mask in light.masks(textures, attention):
            mask = ops.image.resize(mask, textures.shape[1:3], data_format="channels_last")
            mask = ops.convert_to_numpy(ops.stop_gradient(mask))
            mixed = (1 - mask) * shade + mask * shade[:, :, ::-1]
            area = roc_auc_score(difference[clear] < 0, mask[:, face][clear])
            found[attention].append([float(area), float(np.abs(best - mixed)[:, face].mean())])
    return found


def _mean(values):
    return float(np.nanmean(values))


# === Tables ===


def results_tables(results, titles, options):
    """The tables of a run.

    Args:
        results: `{row: {seed: numbers}}` and, under `"masks"`, what `of_masks` returned.
        titles: `{row: title}`.
    """
    rows = {key: results[key] for key in titles}

    def column(*keys, digits=1):
        def number(numbers):
            for key in keys:
                numbers = None if numbers is None else numbers.get(key)
            return numbers

        cells = []
        for by_seed in rows.values():
            values = [number(numbers) for numbers in by_seed.values()]
            cells.append("" if None in values else common.spread(values, digits))
        return cells

    names = list(titles.values())
    columns = {"row": names}
    columns |= {f"{part}, %": column("all", part) for part in PARTS}
    columns |= {f"{part}, reference lit from one side": column("one side", part) for part in PARTS}
    columns |= {
        "leak of light, %": column("leak"),
        "asymmetry of the change": column("asymmetry", digits=2),
        "background, dB": [cell or "exact" for cell in column("background_psnr")],
        "seconds": column("seconds", digits=0),
    }
    groups = ("front", "top or bottom", *(f"{name} skin" for name in SKINS), *(f"{name} pose" for name in POSES))
    more = {"row": names} | {f"{group}, {part}": column(group, part) for group in groups for part in PARTS[:2]}
    more |= {f"distance of colours, {part}, grey levels": column(f"{part}_wasserstein") for part in PARTS}
    more |= {f"even light, {part}": column("even light", part) for part in PARTS}
    survey = {
        "method": list(REPORTED),
        "normal light, reported": [normal for normal, _ in REPORTED.values()],
        "unnormal light, reported": [unnormal for _, unnormal in REPORTED.values()],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    text = f"# Makeup transfer under one-sided light\n\n{common.table(columns)}\n"
    if "masks" in results:
        untouched = [numbers["grey_levels"] for numbers in rows["untouched"].values()]
        levels = ", ".join(f"{part} {np.mean([each[part] for each in untouched]):.1f}" for part in PARTS)
        text += (
            "Parts: error to the truth in % of the untouched source's, and the same by the light of the reference, and "
            f"the skin and pose of the source. The untouched source's in grey levels: {levels}. Distance of colours: "
            "Wasserstein's, from the part's colours on the reference, channel by channel. Even light: the truth in "
            f"even light.\n\n{common.table(more)}\nMasks of light: area under the ROC curve for the dark side, and "
            f"error of log light, of layers 1, 2 and 3.\n\n{_table_of_masks(results['masks'])}\n"
        )
    text += f"Table 2 of the paper, first places in % of 20 people, is for photographs:\n\n{common.table(survey)}\n"
    return text + common.provenance(options)


def _table_of_masks(by_seed):
    def cells(mask, at):
        layers = zip(*([layer[at] for layer in masks[mask]] for masks in by_seed.values()), strict=True)
        return ", ".join(common.spread(values) for values in layers)

    masks = list(next(iter(by_seed.values())))
    return common.table(
        {
            "mask": masks,
            "area under the curve": [cells(mask, 0) if mask != "untouched" else "" for mask in masks],
            "error of log light": [cells(mask, 1) for mask in masks],
        }
    )
