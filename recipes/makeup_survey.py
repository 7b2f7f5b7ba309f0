"""The survey of `makeup_mt.py` (Table 2): a page to choose on, and the count of what people chose."""

import base64
import hashlib
import io
import json

import common
import numpy as np
from makeup_scores import lit
from PIL import Image
from scipy import stats

from kgan import plots

OF_EACH = 10  # pairs in normal light, and in light from one side
SHOWN = 192  # pixels of a picture on the page, at least
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Which makeup is best?</title>
<style>
body { font: 16px sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }
fieldset { border: 0; border-top: 1px solid #ccc; padding: 1em 0; }
figure, label { display: inline-block; margin: 0 .5em .5em 0; text-align: center; }
label { cursor: pointer; padding: .3em; border-radius: .3em; }
label:has(input:checked) { background: #cde; }
img { display: block; image-rendering: auto; }
</style>
<h1>Which makeup is best?</h1>
<p>Each row shows a face, and a reference with makeup. Choose the picture that looks best overall and whose makeup is
most like the reference's, then save your choices at the end. There are %(count)d rows.</p>
<form>
%(rows)s
<p><button>Save my choices</button> <span id="left"></span></p>
</form>
<script>
document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const choices = Object.fromEntries(new FormData(event.target));
  const left = %(count)d - Object.keys(choices).length;
  document.getElementById("left").textContent = left ? left + " rows have no choice yet." : "";
  if (left) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify({survey: "%(name)s", choices})]));
  link.download = "votes.json";
  link.click();
});
</script>
</html>
"""


def write(out, pairs, painted, seed):
    """Write `survey.html`, and `survey.json` with what its numbers stand for.

    Args:
        painted: `{row: images}` of all pairs.
        seed: of the order.
    """
    rng = np.random.default_rng([seed, *b"survey"])
    kinds = {"normal": "front", "one side": "one side"} if "reference_light" in pairs else {"any": "front"}
    key, rows = {"rows": []}, []
    for light, group in kinds.items():
        at = np.flatnonzero(lit(pairs, group))[:OF_EACH]
        key["rows"] += [{"pair": int(i), "light": light, "order": rng.permutation(list(painted)).tolist()} for i in at]
    order = rng.permutation(len(key["rows"]))
    key["rows"] = [key["rows"][i] for i in order]
    for number, row in enumerate(key["rows"]):
        given = "".join(
            f"<figure>{_image(pairs[f'{role}_image'][row['pair']])}<figcaption>{title}</figcaption></figure>"
            for role, title in (("source", "face"), ("reference", "reference"))
        )
        choices = "".join(
            f'<label>{_image(painted[name][row["pair"]])}<input type="radio" name="{number}" value="{place}"></label>'
            for place, name in enumerate(row["order"])
        )
        rows.append(f"<fieldset>{given}<br>{choices}</fieldset>")
    shown = "\n".join(rows)
    key["name"] = hashlib.sha256(f"{key} {shown}".encode()).hexdigest()[:16]
    common.write(out / "survey.json", key)
    common.write(out / "survey.html", PAGE % {"count": len(rows), "rows": shown, "name": key["name"]})


def _image(image):
    picture = Image.fromarray(plots.to_pixels(image[None])[0])
    factor = -(-SHOWN // picture.width)
    file = io.BytesIO()
    picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC).save(file, "png")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def tallied(files, key_file):
    """A table of how often each row was chosen, with 95 % intervals (Wilson).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is of another survey, or none.
    """
    if not key_file.exists():
        raise FileNotFoundError(f"{key_file} is missing: pass the --out of the run that wrote survey.html.")
    key = json.loads(key_file.read_text())
    names = sorted({name for row in key["rows"] for name in row["order"]})
    counts = {light: dict.fromkeys(names, 0) for light in sorted({row["light"] for row in key["rows"]})}
    for file in files:
        for row, place in zip(key["rows"], _choices(file, key), strict=True):
            counts[row["light"]][row["order"][place]] += 1
    columns = {"row": names}
    for light, chosen in counts.items():
        total = sum(chosen.values())
        cells = []
        for name in names:
            low, high = stats.binomtest(chosen[name], max(total, 1)).proportion_ci(method="wilson")
            cells.append(f"{100 * chosen[name] / max(total, 1):.1f} ({100 * low:.1f} to {100 * high:.1f})")
        columns[f"{light} light, % of {total} choices"] = cells
    return common.table(columns)


def _choices(file, key):
    """The chosen place in each row."""
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing.")
    try:
        saved = json.loads(file.read_text())
        choices = [int(saved["choices"][str(number)]) for number in range(len(key["rows"]))]
        good = all(0 <= place < len(row["order"]) for place, row in zip(choices, key["rows"], strict=True))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} holds no choices of a survey.") from error
    if saved.get("survey") != key["name"] or not good:
        raise ValueError(f"{file} is of another survey than {key['name']}.")
    return choices
