"""The list of photographs that the packaged student has learned from: all of those, and no others."""

import json

import pytest
from PIL import Image

pytestmark = pytest.mark.backend_free
SCRIPT = "photos"
ROWS = [  # file, source, licence, doubt, has_text, attribution
    ("a.png", "big", "CC BY 4.0", "", "yes", "Anna | Ltd"),
    ("b.png", "big", "CC0 1.0", "", "no", ""),
    ("not-free.png", "big", "CC BY-SA 4.0", "", "no", "Ben"),
    ("doubtful.png", "big", "CC0 1.0", "author not at hand", "no", "Carl"),
    ("no-outlines.png", "big", "CC0 1.0", "", "yes", "Dora"),
    ("test.png", "other", "CC0 1.0", "", "yes", "Emil"),
]


def test_who_is_listed(script, tmp_path, capsys):
    lines = ["file,source,licence,doubt,has_text,attribution,origin,group"]
    for file, source, licence, doubt, has_text, attribution in ROWS:
        Image.new("RGB", (40, 30)).save(tmp_path / file)
        lines.append(f"{file},{source},{licence},{doubt},{has_text},{attribution},from/{file},{GROUP}")
    (tmp_path / "index.csv").write_text("\n".join(lines))
    quad = [[1, 1], [20, 1], [20, 9], [1, 9]]
    (tmp_path / "boxes.json").write_text(json.dumps({"a.png": {"quads": [quad]}}))
    assert script.main([str(tmp_path), "--target", str(tmp_path / "photos.md")]) == 0
    text = (tmp_path / "photos.md").read_text()
    assert "these 2 photographs, 1 of them" in text
    assert "\n| a.png | Anna \\| Ltd | CC BY 4.0 | from/a.png |\n| b.png | not named | CC0 1.0 | from/b.png |\n" in text
    assert not any(file in text for file, *_ in ROWS[2:])
    assert "2 photographs" in capsys.readouterr().out


def test_a_folder_without_an_index(script, tmp_path, capsys):
    assert script.main([str(tmp_path), "--target", str(tmp_path / "photos.md")]) == 2
    assert capsys.readouterr().err.startswith("photos.py: ") and not (tmp_path / "photos.md").exists()


# A group whose hash is not that of the validation part.
GROUP = "one"
