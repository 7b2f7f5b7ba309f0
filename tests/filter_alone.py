"""`kgan filter` where kgan and its four packages are all that is installed: no Keras, no backend.

    python tests/filter_alone.py

Run it with the Python of such an environment; `.ci/run` makes one.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

installed = [name for name in ("keras", "tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
if installed:
    sys.exit(f"{', '.join(installed)}: installed here, so this shows nothing; use the environment of the README")

with tempfile.TemporaryDirectory() as folder:
    photos = Path(folder) / "photos"
    photos.mkdir()
    Image.new("RGB", (320, 240), "lightblue").save(photos / "blank.png")
    sign = Image.new("RGB", (480, 240), "navy")
    for line in range(3):
        ImageDraw.Draw(sign).text((20, 20 + 62 * line), "Central Station", fill="white", font_size=48)
    sign.save(photos / "sign.jpg")
    (photos / "broken.jpg").write_bytes(b"no image")

    kgan = Path(sys.executable).with_name("kgan")
    found = subprocess.run(
        [kgan, "filter", "photos", "--overlay", "heat"], cwd=folder, stdout=subprocess.PIPE, check=True
    )
    rows = {Path(row["path"]).name: row for row in map(json.loads, found.stdout.splitlines())}
    decisions = {name: (row["status"], row["decision"]) for name, row in rows.items()}
    expected = {"blank.png": ("ok", "no_text"), "sign.jpg": ("ok", "text"), "broken.jpg": ("not_an_image", None)}
    if decisions != expected:
        sys.exit(f"kgan filter: expected {expected}, got {decisions}")
    maps = sorted(path.name for path in Path(folder, "heat").iterdir())
    if maps != ["blank.png.jpg", "sign.jpg.jpg"]:
        sys.exit(f"kgan filter: expected a heat map for each readable image, got {maps}")
print("kgan filter runs without Keras")
