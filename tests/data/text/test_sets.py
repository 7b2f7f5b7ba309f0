import io
import json
import zipfile
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from kgan.data.text import annotations as formats
from kgan.data.text import unknown_format
from kgan.data.text.records import LICENCES, UnreadableImage
from kgan.data.text.sets import (
    READERS,
    read_boxes_json,
    read_coco_text,
    read_crops,
    read_icdar2013,
    read_icdar2015,
    read_negatives,
    read_svt,
    read_td500,
    read_textocr,
    read_total_text,
)
from kgan.data.text.textdis import read_textdis

pytestmark = pytest.mark.backend_free

WIDTH, HEIGHT = 200, 120


def picture(size=(WIDTH, HEIGHT), value=0, format="PNG", **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, (value,) * 3).save(buffer, format, **options)
    return buffer.getvalue()


BLANK = picture()


def folder_of(root, files):
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


def zip_of(root, files):
    with zipfile.ZipFile(root / "set.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(f"unpacked/{name}", data)
    return root / "set.zip"


@pytest.fixture(params=[folder_of, zip_of], ids=["folder", "zip"])
def lay(request, tmp_path):
    """Writes `{name: content}` as a folder or as a zip archive."""
    return lambda files: request.param(tmp_path, files)


def shapes(image):
    return [polygon.tolist() for polygon in image.polygons]


def box(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


# The published formats, written here in their published layouts.


def test_icdar2013(lay):
    path = lay(
        {
            "Challenge2_Training_Task12_Images/100.jpg": picture(format="JPEG"),
            "Challenge2_Training_Task1_GT/gt_100.txt": '15 12 41 18 "Footpath"\r\n44 12 50 18 "To, the 8"\r\n\r\n',
            "Challenge2_Test_Task12_Images/img_1.jpg": picture(format="JPEG"),
            "Challenge2_Test_Task1_GT/gt_img_1.txt": '38, 43, 92, 115, "Tiredness"\n1, 2, 3, 4, "###"\n',
        }
    )
    (train,), (test,) = read_icdar2013(path, "train"), read_icdar2013(path, "test")
    assert train.name.endswith("Challenge2_Training_Task12_Images/100.jpg") and train.size == (HEIGHT, WIDTH)
    assert shapes(train) == [box(15, 12, 41, 18), box(44, 12, 50, 18)] and train.care == [True, True]
    assert shapes(test) == [box(38, 43, 92, 115), box(1, 2, 3, 4)] and test.care == [True, False]
    assert train.polygons[0].dtype == "float64"
    assert read_icdar2013(path, "train").licence == LICENCES["icdar2013"]


def test_icdar2015(lay):
    lines = "10,20,60,22,61,40,11,38,Genaxis, 5, Theatre\r\n1,2,3,4,5,6,7,8,###\r\n9,9,19,9,19,19,9,19,\r\n"
    path = lay(
        {
            "ch4_training_images/img_1.jpg": picture(format="JPEG"),
            "ch4_training_images/img_2.jpg": picture(format="JPEG"),
            "ch4_training_localization_transcription_gt/gt_img_1.txt": b"\xef\xbb\xbf" + lines.encode(),
            "ch4_training_localization_transcription_gt/gt_img_2.txt": b"",
            "ch4_test_images/img_1.jpg": picture((50, 40), format="JPEG"),
            "Challenge4_Test_Task1_GT/gt_img_1.txt": "0,0,50,0,50,40,0,40,\u201cquoted\u2028\u201d\n",
        }
    )
    first, second = read_icdar2015(path, "train")
    assert shapes(first) == [
        [[10, 20], [60, 22], [61, 40], [11, 38]],
        [[1, 2], [3, 4], [5, 6], [7, 8]],
        box(9, 9, 19, 19),
    ]
    assert first.care == [True, False, True]
    assert shapes(second) == [] and second.care == []
    (test,) = read_icdar2015(path, "test")
    assert shapes(test) == [box(0, 0, 50, 40)] and test.size == (40, 50) and test.open().size == (50, 40)


def test_total_text(lay):
    truth = (
        "x: [[115 150 149 115]], y: [[32 34 42 40]], ornt: [u'm'], transcriptions: [u'nauGHTY']\n"
        "x: [[ 10  20  30\n  40  30  20]], y: [[10 11 12\n 13 14 15]], ornt: [u'c'], "
        'transcriptions: [u"it\'s [x: 1]"]\n'
        "x: [[1 9 9 1]], y: [[1 1 9 9]], ornt: [u'#'], transcriptions: [u'#']\n"
        "x: [[2 9 9 2]], y: [[1 1 9 9]], ornt: [], transcriptions: []"
    )
    files = {"Images/Train/img11.jpg": picture(format="JPEG"), "txt/Train/poly_gt_img11.txt": truth}
    (image,) = read_total_text(lay(files), "train")
    assert shapes(image) == [
        [[115, 32], [150, 34], [149, 42], [115, 40]],
        [[10, 10], [20, 11], [30, 12], [40, 13], [30, 14], [20, 15]],
        box(1, 1, 9, 9),
        box(2, 1, 9, 9),
    ]
    assert image.care == [True, True, False, False]


def test_td500(lay):
    # A quarter turn about the centre (60, 50) lays 40 x 20 upright; 45 degrees clockwise lowers the right corner.
    quarter, eighth = np.pi / 2, np.pi / 4
    truth = f"0 0 40 40 40 20 {quarter}\n1 1 40 40 40 20 0.0\n2 0 50 40 20 20 {eighth}\n"
    (image,) = read_td500(lay({"train/IMG_0059.JPG": picture(format="JPEG"), "train/IMG_0059.gt": truth}), "train")
    upright, level, diamond = image.polygons
    np.testing.assert_allclose(upright, [[70, 30], [70, 70], [50, 70], [50, 30]], atol=1e-9)
    np.testing.assert_allclose(level, box(40, 40, 80, 60), atol=1e-9)
    half = 10 * 2**0.5
    np.testing.assert_allclose(diamond, [[60, 50 - half], [60 + half, 50], [60, 50 + half], [60 - half, 50]], atol=1e-9)
    assert image.care == [True, False, True]


def test_td500_turns_clockwise_on_the_screen(lay):
    """A line of text that falls to the right has a positive angle."""
    files = {"test/1.JPG": picture(format="JPEG"), "test/1.gt": f"0 0 50 55 100 10 {np.pi / 6}"}
    (left_top, right_top, _, _) = read_td500(lay(files), "test")[0].polygons[0]
    assert right_top[0] > left_top[0] and right_top[1] == pytest.approx(left_top[1] + 50)


def test_svt(lay):
    xml = """<?xml version="1.0" encoding="utf-8"?>
    <tagset><image><imageName>img/14_03.jpg</imageName><address>341 Southwest 10th</address><lex>LIVING,ROOM</lex>
    <Resolution x="200" y="120"/><taggedRectangles>
    <taggedRectangle height="15" width="60" x="10" y="20"><tag>LIVING</tag></taggedRectangle>
    <taggedRectangle height="5" width="6" x="7" y="8"><tag>ROOM</tag></taggedRectangle>
    </taggedRectangles></image></tagset>"""
    (image,) = read_svt(lay({"svt1/train.xml": xml, "svt1/img/14_03.jpg": picture(format="JPEG")}), "train")
    assert shapes(image) == [box(10, 20, 70, 35), box(7, 8, 13, 13)] and image.care == [True, True]


def coco_text():
    def about(key, split):
        name = f"COCO_train2014_{key:012}.jpg"
        return {"id": key, "width": WIDTH, "height": HEIGHT, "set": split, "file_name": name}

    kind = {"class": "machine printed", "language": "english", "image_id": 1}
    legible, illegible = kind | {"legibility": "legible"}, kind | {"legibility": "illegible"}
    annotations = {
        "imgs": {"1": about(1, "train"), "2": about(2, "train"), "3": about(3, "val"), "4": about(4, "test")},
        "anns": {
            "11": legible | {"id": 11, "bbox": [0, 0, 1, 1], "mask": [10.5, 20, 30, 20, 35, 25.25, 30, 40, 10, 40]},
            "12": illegible | {"id": 12, "bbox": [50.0, 60.0, 20.0, 10.0], "mask": []},
            "13": legible | {"id": 13, "bbox": [1, 2, 3, 4], "mask": [1, 2, 4, 2, 4, 6, 1, 6]},
        },
        "imgToAnns": {"1": [11, 12], "2": [], "3": [13], "4": []},
    }
    files = {f"train2014/COCO_train2014_{key:012}.jpg": picture(format="JPEG") for key in (1, 2, 3, 4)}
    return annotations, files


def test_coco_text(lay):
    annotations, files = coco_text()
    path = lay(files | {"cocotext.v2.json": json.dumps(annotations)})
    text, negative = read_coco_text(path, "train")
    assert shapes(text) == [[[10.5, 20], [30, 20], [35, 25.25], [30, 40], [10, 40]], box(50, 60, 70, 70)]
    assert text.care == [True, False] and negative.polygons == [] and negative.name.endswith("000002.jpg")
    assert [shapes(image) for image in read_coco_text(path, "val")] == [[box(1, 2, 4, 6)]]


def test_images_of_unpublished_annotations_are_not_negatives(lay):
    annotations, files = coco_text()
    annotations["imgs"]["3"]["set"] = "train"
    annotations["imgs"]["4"]["set"] = "val"
    path = lay(files | {"cocotext.v2.json": json.dumps(annotations)})
    with pytest.raises(ValueError, match="no text in any image of 'val'"):
        read_coco_text(path, "val")
    with pytest.raises(ValueError, match="split='test' is not one of 'train', 'val'"):
        read_coco_text(path, "test")


def textocr(width=WIDTH, height=HEIGHT, **more):
    image = {"id": "a4ea", "width": width, "height": height, "set": "train", "file_name": "train/a4ea.jpg", **more}
    # The box is published in one form and shown in another: the polygon is what is read.
    annotations = {
        "a4ea_1": {"bbox": [0, 0, 0, 0], "points": [10.25, 20, 40, 20, 40, 30, 10.25, 30], "utf8_string": "Text"},
        "a4ea_2": {"bbox": [0, 0, 0, 0], "points": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "utf8_string": "."},
    }
    return json.dumps({"imgs": {"a4ea": image}, "anns": annotations, "imgToAnns": {"a4ea": list(annotations)}})


def test_textocr(lay):
    path = lay({"train_images/a4ea.jpg": picture(format="JPEG"), "TextOCR_0.1_train.json": textocr()})
    (image,) = read_textocr(path, "train")
    assert shapes(image) == [box(10.25, 20, 40, 30), [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]]
    assert image.care == [True, False] and image.size == (HEIGHT, WIDTH)


def two_halves(path, **options):
    """Saves a picture whose left half is black and whose right half is white."""
    image = Image.new("L", (HEIGHT, WIDTH), 0)
    image.paste(255, (HEIGHT // 2, 0, HEIGHT, WIDTH))
    image.save(path, quality=95, **options)


@pytest.mark.parametrize(("rotation", "top"), [(90, 255), (270, 0)])
def test_textocr_turned_counterclockwise(tmp_path, rotation, top):
    """Turned counterclockwise by 90 degrees, what was on the right is on top."""
    folder_of(tmp_path, {"train_images/x": b"", "TextOCR_0.1_train.json": textocr(Rotation=rotation)})
    two_halves(tmp_path / "train_images/a4ea.jpg")
    opened = np.asarray(read_textocr(tmp_path, "train")[0].open())
    assert opened.shape == (HEIGHT, WIDTH)
    assert opened[: HEIGHT // 2 - 8].mean() == pytest.approx(top, abs=2)
    assert opened[HEIGHT // 2 + 8 :].mean() == pytest.approx(255 - top, abs=2)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def test_exif_orientation_where_the_annotation_has_the_turned_size(tmp_path):
    folder_of(tmp_path, {"train_images/x": b"", "TextOCR_0.1_train.json": textocr()})
    two_halves(tmp_path / "train_images/a4ea.jpg", exif=exif(8))
    opened = read_textocr(tmp_path, "train")[0].open()
    assert opened.size == (WIDTH, HEIGHT) and np.asarray(opened)[:40].mean() == pytest.approx(255, abs=2)
    assert ImageOps.exif_transpose(opened).size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_where_the_annotation_has_the_stored_size(lay, format):
    """Else the pixels would be turned later, and the polygons would not."""
    path = lay({"train/1.jpg": picture(format=format, exif=exif(6)), "train/gt_1.txt": "190 100 200 120 x"})
    opened = read_icdar2013(path, "train")[0].open()
    assert opened.size == ImageOps.exif_transpose(opened).size == (WIDTH, HEIGHT)


def test_image_of_another_size_than_annotated(lay):
    path = lay({"train_images/a4ea.jpg": picture((60, 70), format="JPEG"), "TextOCR_0.1_train.json": textocr()})
    with pytest.raises(ValueError, match="a4ea.jpg: 60 x 70 pixels, but its annotation is for 200 x 120 pixels"):
        read_textocr(path, "train")[0].open()


# Own boxes, negatives, crops.


def test_boxes_json(lay):
    entries = [
        {
            "file": "images/1.png",
            "width": WIDTH,
            "height": HEIGHT,
            "words": [
                {"quad": [10, 20, 30, 20, 30, 40, 10, 40], "text": "a", "care": True},
                {"polygon": [[1, 2], [3, 4], [5, 6]], "care": False},
                {"box_xyxy": [1, 2, 3, 4]},
            ],
        },
        {"file": "images/2.png", "box_xywh": [10.5, 20, 30, 40], "text": "plate"},
        {"file": "images/3.png", "words": []},
    ]
    files = {f"images/{i}.png": BLANK for i in (1, 2, 3)}
    words, plate, none = read_boxes_json(lay(files | {"annotations.json": json.dumps(entries)}))
    assert shapes(words) == [box(10, 20, 30, 40), [[1, 2], [3, 4], [5, 6]], box(1, 2, 3, 4)]
    assert words.care == [True, False, True]
    assert shapes(plate) == [box(10.5, 20, 40.5, 60)] and shapes(none) == []


def test_negatives_and_crops(lay):
    path = lay({"b/2.png": picture((30, 20)), "a/1.png": BLANK, "labels.csv": "file", "__MACOSX/._1.png": b"x"})
    negatives = read_negatives(path, licence="CC0")
    assert [image.size for image in negatives] == [(HEIGHT, WIDTH), (20, 30)] and negatives.licence == "CC0"
    assert all(image.polygons == [] for image in negatives)
    assert [shapes(image) for image in read_crops(path)] == [[box(0, 0, WIDTH, HEIGHT)], [box(0, 0, 30, 20)]]


def test_images_are_read_in_other_processes(lay):
    (image,) = read_negatives(lay({"1.png": picture(value=7)}))
    opened = ForkingPickler.loads(ForkingPickler.dumps(image)).open()
    np.testing.assert_array_equal(np.asarray(opened), np.full((HEIGHT, WIDTH, 3), 7))


def test_images_are_read_when_opened(tmp_path):
    (image,) = read_negatives(folder_of(tmp_path, {"1.png": picture(value=7)}))
    folder_of(tmp_path, {"1.png": picture(value=8)})
    assert image.open().getpixel((0, 0)) == (8, 8, 8)
    folder_of(tmp_path, {"1.png": picture((9, 9))})
    with pytest.raises(ValueError, match="1.png: 9 x 9 pixels, but its annotation is for 200 x 120 pixels"):
        image.open()


# TextDis: format and layout are found out.

NAMES = {"xyxy": "left, top, right, bottom", "xywh": "left, top, width, height"}


def textdis(truths, suffix=".txt", text="train/text", plain="train/non-text", gt="train/text"):
    """A set of images `i.png` with text and their annotations, and one image without text in each split."""
    files = {f"{text}/{i}.png": BLANK for i in range(len(truths))}
    files |= {f"{gt}/{i}{suffix}": truth for i, truth in enumerate(truths)}
    return files | {f"{plain}/n.png": BLANK}


def with_text(images):
    return [image for image in images if image.polygons]


WRITTEN = {
    "commas": ("10,20,180,30\n", [box(10, 20, 180, 30)]),
    "spaces": ("10 20 180 30 \n", [box(10, 20, 180, 30)]),
    "tabs": ("10\t20\t180\t30\tword, 5\r\n", [box(10, 20, 180, 30)]),
    "byte order mark": ("\ufeff10, 20, 180, 30\r\n1, 2, 3.5, 4", [box(10, 20, 180, 30), box(1, 2, 3.5, 4)]),
    "transcription with commas": ("10,20,180,30,a, b, 7\n0,0,9,9,x\n", [box(10, 20, 180, 30), box(0, 0, 9, 9)]),
    "transcription of digits": ("10,20,180,30,a\n0,0,9,9,2015\n", [box(10, 20, 180, 30), box(0, 0, 9, 9)]),
    "width and height": ("150,100,30,10\n10,20,180,5", [box(150, 100, 180, 110), box(10, 20, 190, 25)]),
    "4 points": ("10,20,60,22,61,40,11,38\n", [[[10, 20], [60, 22], [61, 40], [11, 38]]]),
    "4 points, text": ("10,20,60,22,61,40,11,38,word\n", [[[10, 20], [60, 22], [61, 40], [11, 38]]]),
    "polygons": (
        "1,2,3,2,4,5,3,9,1,9\n1 2 3 2 3 4 1 4\n",
        [[[1, 2], [3, 2], [4, 5], [3, 9], [1, 9]], box(1, 2, 3, 4)],
    ),
    "polygons, text": (
        "1,2,3,2,4,5,3,9,1,9,one\n1,2,3,2,3,4,1,4,5\n",
        [[[1, 2], [3, 2], [4, 5], [3, 9], [1, 9]], box(1, 2, 3, 4)],
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_textdis_text_files(lay, case):
    truth, expected = WRITTEN[case]
    (image,) = with_text(read_textdis(lay(textdis([truth])), "train"))
    assert shapes(image) == expected and image.care == [True] * len(expected)


def test_textdis_words_to_ignore(lay):
    (image,) = with_text(read_textdis(lay(textdis(["10,20,180,30,###\n1,2,3,4,#\n5,6,7,8,#1\n"])), "train"))
    assert image.care == [False, False, True]


JSON = {
    "list of boxes": [[10, 20, 180, 30]],
    "one box": [10, 20, 180, 30],
    "points": [[[10, 20], [180, 20], [180, 30], [10, 30]]],
    "box by name": [{"xmin": 10, "ymin": 20, "xmax": 180, "ymax": 30}],
    "width by name": {"boxes": [{"x": 10, "y": 20, "w": 170, "h": 10}]},
    "inner box": {"size": [120, 200], "objects": [{"box": {"left": 10, "top": 20, "width": 170, "height": 10}}]},
    "opposite corners": {"shapes": [{"label": "text", "points": [[180, 30], [10, 20]]}], "imageSize": [9, 9, 9, 9]},
    "quad": {"words": [{"quad": [10, 20, 180, 20, 180, 30, 10, 30], "text": "a"}]},
    "turned about the centre": [{"cx": 95, "cy": 25, "w": 170, "h": 10, "angle": 0.0}],
}


@pytest.mark.parametrize("case", JSON)
def test_textdis_json(lay, case):
    (image,) = with_text(read_textdis(lay(textdis([json.dumps(JSON[case])], ".json")), "train"))
    assert shapes(image) == [box(10, 20, 180, 30)] and image.care == [True]


XML = {
    "voc": "<size><width>9</width><height>9</height></size><object><name>text</name><bndbox><xmin>10</xmin>"
    "<ymin>20</ymin><xmax>180</xmax><ymax>30</ymax></bndbox></object>",
    "attributes": '<word x="10" y="20" width="170" height="10"><tag>a</tag></word>',
    "points": "<object><polygon><pt><x>10</x><y>20</y></pt><pt><x>180</x><y>20</y></pt><pt><x>180</x><y>30</y></pt>"
    "<pt><x>10</x><y>30</y></pt></polygon></object>",
    "listed points": '<Coords points="10,20 180,20 180,30 10,30"/>',
    "numbered points": '<b x1="10" y1="20" x2="180" y2="20" x3="180" y3="30" x4="10" y4="30"/>',
    "turned": "<object><robndbox><cx>95</cx><cy>25</cy><w>170</w><h>10</h><angle>0</angle></robndbox></object>",
}


@pytest.mark.parametrize("case", XML)
def test_textdis_xml(lay, case):
    (image,) = with_text(read_textdis(lay(textdis([f"<annotation>{XML[case]}</annotation>"], ".xml")), "train"))
    assert shapes(image) == [box(10, 20, 180, 30)] and image.care == [True]


def test_textdis_marks_in_xml_and_json(tmp_path):
    voc = XML["voc"].replace("<name>text</name>", "<difficult>1</difficult>")
    marked = [{"box": [10, 20, 180, 30], "text": "###"}, {"box": {"x": 1, "y": 2, "w": 3, "h": 4}, "care": False}]
    for index, files in enumerate(
        [
            textdis([f"<a>{voc}</a>"], ".xml"),
            textdis([json.dumps(marked[:1])], ".json"),
            textdis([json.dumps(marked[1:])], ".json"),
        ]
    ):
        (image,) = with_text(read_textdis(folder_of(tmp_path / str(index), files), "train"))
        assert image.care == [False]


def random_boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, (WIDTH - 40, HEIGHT - 40), (count, 2)).round(1)
    return np.concatenate([low, low + rng.uniform(5, 40, (count, 2)).round(1)], axis=1)


@pytest.mark.parametrize("form", ["xyxy", "xywh"])
def test_the_form_is_decided_by_the_whole_set(lay, form):
    """Boxes of the train split that could be either are read as those of the test split must be."""
    boxes = random_boxes(30)
    boxes[:2] = [[5, 5, 20, 20], [1, 1, 40, 50]]
    listed = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1) if form == "xywh" else boxes
    lines = [",".join(map(str, values)) for values in listed.tolist()]
    path = lay(textdis(["\n".join(lines[:2])]) | textdis(["\n".join(lines[2:])], text="test/text", gt="test/gt"))
    images = read_textdis(path, "train")
    np.testing.assert_allclose(with_text(images)[0].polygons, [box(*values) for values in boxes[:2]])
    other = NAMES["xywh" if form == "xyxy" else "xyxy"]
    (note,) = images.notes
    assert note.startswith(f"30 boxes read as {NAMES[form]}; ") and note.endswith(f"of them do not fit as {other}")


def test_ambiguous_boxes_take_the_default_and_say_so(lay):
    images = read_textdis(lay(textdis(["10,10,50,50"])), "train")
    assert shapes(with_text(images)[0]) == [box(10, 10, 50, 50)]
    assert images.notes == [
        "1 boxes read as left, top, right, bottom; AMBIGUOUS: all of them fit as left, top, width, height too, "
        "and the first is the default"
    ]


@pytest.mark.parametrize("unit", ["radians", "degrees"])
@pytest.mark.parametrize("about", ["centre", "corner"])
def test_turned_boxes(lay, unit, about):
    """Boxes that touch the edges of the image fit in one reading only."""
    # Centre, size and degrees; the corners are found by turning complex numbers.
    truth = [(100, 10, 190, 16, 0), (100, 60, 100, 20, 30), (15, 60, 100, 20, -90), (190, 100, 30, 16, 90)]
    lines, expected = [], []
    for x, y, w, h, angle in truth:
        around = np.array([-w - 1j * h, w - 1j * h, w + 1j * h, -w + 1j * h]) / 2
        turned = x + 1j * y + around * np.exp(1j * np.deg2rad(angle))
        expected.append(np.stack([turned.real, turned.imag], axis=1))
        first = (x, y) if about == "centre" else (x - w / 2, y - h / 2)
        lines.append(" ".join(map(str, (*first, w, h, angle if unit == "degrees" else np.deg2rad(angle)))))
    images = read_textdis(lay(textdis(["\n".join(lines)])), "train")
    np.testing.assert_allclose(with_text(images)[0].polygons, expected, atol=1e-9)
    assert f"angle in {unit}" in images.notes[0] and images.notes[0].startswith(
        "4 boxes read as centre" if about == "centre" else "4 boxes read as left, top"
    )


LAYOUTS = {
    "as documented": ("train/text", "train/non-text", "train/gt"),
    "other names": ("TextDis/Train/TextImages", "TextDis/Train/NonTextImages", "TextDis/Train/TextImages"),
    "gt inside": ("training/text", "training/no_text", "training/text/GT"),
    "class first": ("Text/train", "Non-Text/train", "ground_truth/train"),
    "in one name": ("train_text", "train-nontext", "train_text_gt"),
    "positive": ("train/positive", "train/negative", "train/labels"),
    "no class folders": ("train/images", "train/images", "train/gt"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_textdis_layouts(lay, layout):
    text, plain, gt = LAYOUTS[layout]
    path = lay(textdis(["10,20,180,30", "1,2,3,4"], text=text, plain=plain, gt=gt) | {"readme.txt": "hello"})
    images = read_textdis(path, "train")
    assert len(images) == 3 and [shapes(image) for image in with_text(images)] == [
        [box(10, 20, 180, 30)],
        [box(1, 2, 3, 4)],
    ]
    assert [image.name.rpartition("/")[2] for image in images if not image.polygons] == ["n.png"]


@pytest.mark.parametrize("name", ["gt_0.txt", "0_gt.txt", "0.png.txt", "GT_0.txt"])
def test_textdis_names_of_annotations(lay, name):
    path = lay({"train/text/0.png": BLANK, "train/non-text/0.png": BLANK, f"train/gt/{name}": "10 20 180 30"})
    assert [len(image.polygons) for image in read_textdis(path, "train")] == [0, 1]


# What must be refused, with the file's name and, in text files, the line.

GOOD = "10,20,180,30,a\n"


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (GOOD + "10,20,220,30,b", r"0.txt, line 2: the box reaches 20 pixels outside the image of 200 x 120 pixels; "),
        (GOOD + "\r\n-3,20,180,30", r"0.txt, line 3: the box reaches 3 pixels outside"),
        (GOOD + "10,20", r"0.txt, line 2: 2 numbers, but a box has at least 4: '10,20'"),
        (GOOD + "10,20,180,", r"0.txt, line 2: 3 numbers"),
        (GOOD + "left,20,180,30", r"0.txt, line 2: 0 numbers"),
        (GOOD + "nan,20,180,30", r"0.txt, line 2: 0 numbers"),
        (GOOD + "10,20,180,1e999", r"0.txt, line 2: a coordinate is not a finite number"),
        ("1,2,9,2,9,4,1,4\n" * 3 + "1,2,9,2,9,4", r"0.txt, line 4: 6 numbers, but most boxes have 8"),
        ("1,2,9,2,9,4,1,4\n" * 3 + "1,2,9,2,9,4,1", r"0.txt, line 4: 7 numbers, but most boxes have 8"),
        ("1,2,9,2,9,4\n", r"0.txt, line 1: 6 numbers, as in most boxes"),
        ("1,2,9,2,2015\n", r"0.txt, line 1: 2015 is not an angle"),
        ("", r"0.txt: no box found, but train/text/0.png is an image with text"),
        ("a" * (2**20 + 1), r"0.txt: 1048577 bytes, more than the limit of 1048576"),
    ],
)
def test_broken_text_files(tmp_path, truth, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_textdis(folder_of(tmp_path, textdis([truth])), "train")
    assert "\n" not in str(caught.value)


def test_a_box_outside_in_a_large_set_is_named_in_the_reading_that_fits_best(lay):
    boxes = random_boxes(50)
    boxes[:, 2:] -= boxes[:, :2]
    boxes[17] = [180, 100, 30, 10]
    truths = ["\n".join(" ".join(map(str, values)) for values in part.tolist()) for part in np.split(boxes, 5)]
    with pytest.raises(
        ValueError,
        match="1.txt, line 8: the box reaches 10 pix.*50 boxes were read as left, top, width, height, of which 1 do",
    ):
        read_textdis(lay(textdis(truths)), "train")


@pytest.mark.parametrize(
    ("suffix", "truth", "message"),
    [
        (".json", "[[10, 20, 180", "0.json cannot be read as JSON"),
        (".json", "[[10, 20, 180, NaN]]", "0.json cannot be read as JSON .NaN is not valid JSON"),
        (".json", "[[10, 20, 180, 1e999]]", "0.json, box 1: a coordinate is not a finite number"),
        (".json", "[[10, 20, 180, 1" + "0" * 400 + "]]", "0.json, box 1: a coordinate is not a finite number"),
        (".json", '[[10, 20, true, "x"]]', "0.json: expected a number, got 'True'"),
        (".json", '["text"]', "0.json: expected a number, got 'text'"),
        (".json", '{"boxes": []}', "0.json: no box found"),
        (".json", "[" * 100000, "0.json cannot be read as JSON"),
        (".json", "[[10, 20, 180, 30, 40, 50]]", "0.json, box 1: 6 numbers"),
        (".json", '[{"xmin": 10, "ymin": 20, "xmax": 5, "ymax": 30}]', "0.json, box 1: the right or bottom edge lies"),
        (".xml", "<a><b>", "0.xml cannot be read as XML"),
        (".xml", '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "0.xml: a DOCTYPE is not allowed"),
        (".xml", '<a><b x="1" y="2" width="3" height="tall"/></a>', "0.xml: expected a number, got 'tall'"),
        (".xml", '<a><b x="1" y="2" width="300" height="4"/></a>', "0.xml, box 1: the box reaches 101 pixels outside"),
        (".xml", '<a><b x="1" y="2" width="-3" height="4"/></a>', "0.xml, box 1: width or height is negative"),
    ],
)
def test_broken_xml_and_json(tmp_path, suffix, truth, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_textdis(folder_of(tmp_path, textdis([truth], suffix)), "train")
    assert "\n" not in str(caught.value)


def test_entities_are_not_expanded(tmp_path):
    lines = ['<?xml version="1.0"?><!DOCTYPE t [<!ENTITY a "0123456789">']
    lines += [f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)]
    lines += ["]><tagset><image><imageName>&j;</imageName></image></tagset>"]
    path = folder_of(tmp_path, {"train.xml": "".join(lines), "img/1.jpg": picture(format="JPEG")})
    with pytest.raises(ValueError, match="train.xml: a DOCTYPE is not allowed"):
        read_svt(path, "train")


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"text/1.png": BLANK}, FileNotFoundError, "has no train images: expected them below a folder with"),
        ({"train/text/1.png": BLANK}, FileNotFoundError, "train/text/1.png has no annotation file"),
        ({"train/non-text/1.png": BLANK, "train/gt/2.txt": GOOD}, FileNotFoundError, "image of train/gt/2.txt is miss"),
        ({"train/text/1.png": BLANK, "train/1.txt": GOOD, "train/gt/1.xml": "<a/>"}, ValueError, "for the same image"),
        (
            {"train/text/1.png": BLANK, "train/2.png": BLANK},
            ValueError,
            "train/2.png lies neither in a text folder",
        ),
    ],
)
def test_textdis_with_something_missing(tmp_path, files, error, message):
    with pytest.raises(error, match=message):
        read_textdis(folder_of(tmp_path, files), "train")


@pytest.mark.parametrize(
    ("reader", "truth", "message"),
    [
        (read_icdar2013, '1 2 3 "x"', "gt_1.txt, line 1: 3 numbers, expected 4"),
        (read_icdar2013, '1 2 3 4 "x"\n\n9 2 3 4 "x"', "gt_1.txt, line 3: the right or bottom edge lies before"),
        (read_icdar2013, '1 2 3 122 "x"', "gt_1.txt, line 1: the box reaches 2 pixels outside"),
        (read_icdar2015, "1,2,3,4,5,6,7,word", "gt_1.txt, line 1: 7 numbers, expected 8"),
        (read_icdar2015, "1,2,3,4,5,6,7,8,ok\n1,2,3,4", "gt_1.txt, line 2: 4 numbers, expected 8"),
        (read_icdar2015, "1,2,3,4,5,inf,7,8,ok", "gt_1.txt, line 1: 5 numbers, expected 8"),
        (read_icdar2015, "1,2,3,4,5,6e999,7,8,ok", "gt_1.txt, line 1: a coordinate is not a finite number"),
        (read_td500, "0 0 1 2 3 4", "1.gt, line 1: expected the 7 numbers"),
        (read_td500, "0 0 1 2 3 4 0.1 5", "1.gt, line 1: expected the 7 numbers"),
        (read_td500, "0 0 1e999 2 3 4 0.1", "1.gt, line 1: a coordinate is not a finite number"),
        (read_td500, "0 0 1 2 -3 4 0.1", "1.gt, line 1: width or height is negative"),
        (read_total_text, "nothing", "poly_gt_1.txt, line 1: expected x:"),
        (read_total_text, "x: [[1 2 3]], y: [[1 2 3]], ornt: [u'c']", "poly_gt_1.txt, line 1: expected x:"),
        (
            read_total_text,
            "x: [[1 2 3]], y: [[1 2 3]], ornt: [u'c'], transcriptions: [u'a']\n"
            "x: [[1 2 3]], y: [[1 2]], ornt: [u'c'], transcriptions: [u'a']",
            "poly_gt_1.txt, line 2: 3 x and 2 y",
        ),
        (
            read_total_text,
            "x: [[1 2]], y: [[1 2]], ornt: [u'c'], transcriptions: [u'a']",
            "poly_gt_1.txt, line 1: 4 coordinates: a polygon has",
        ),
    ],
)
def test_broken_published_formats(lay, reader, truth, message):
    prefix, suffix = {read_td500: ("", ".gt"), read_total_text: ("poly_gt_", ".txt")}.get(reader, ("gt_", ".txt"))
    path = lay({"train/1.jpg": picture(format="JPEG"), f"train/{prefix}1{suffix}": truth})
    with pytest.raises(ValueError, match=message) as caught:
        reader(path, "train")
    assert "\n" not in str(caught.value)


def test_rounding_at_the_edge_is_clipped_and_the_tolerance_can_be_raised(lay):
    path = lay({"train/1.jpg": picture(format="JPEG"), "train/gt_1.txt": "-1 -0.5 200.75 121 edge"})
    assert shapes(read_icdar2013(path, "train")[0]) == [box(0, 0, WIDTH, HEIGHT)]
    with pytest.raises(ValueError, match="reaches 1 pixels outside"):
        read_icdar2013(path, "train", tolerance=0.9)
    path = lay({"train/1.jpg": picture(format="JPEG"), "train/gt_1.txt": "0 0 209 120 edge"})
    assert shapes(read_icdar2013(path, "train", tolerance=9)[0]) == [box(0, 0, WIDTH, HEIGHT)]


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"train/1.png": BLANK}, FileNotFoundError, "train/1.png has no ground truth gt_1.txt"),
        ({"train/1.png": BLANK, "test/gt_1.txt": ""}, FileNotFoundError, "train/1.png has no ground truth gt_1.txt"),
        (
            {"train/1.png": BLANK, "train/gt_1.txt": "", "train/gt_2.txt": ""},
            FileNotFoundError,
            "image of train/gt_2.txt is missing",
        ),
        ({"train/gt_1.txt": ""}, ValueError, "no images below a folder with 'train' in its name"),
        ({"train/1.png": BLANK, "train/gt_1.txt": "", "train/a/gt_1.txt": ""}, ValueError, "have the same name"),
    ],
)
def test_something_missing(tmp_path, files, error, message):
    with pytest.raises(error, match=message):
        read_icdar2015(folder_of(tmp_path, files), "train")


def test_no_such_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder or zip archive"):
        read_icdar2015(tmp_path / "nothing", "train")
    (tmp_path / "broken.zip").write_bytes(b"PK no more")
    with pytest.raises(ValueError, match="is not a complete zip archive"):
        read_negatives(tmp_path / "broken.zip")
    with pytest.raises(ValueError, match="split='val' is not one of 'train', 'test'"):
        read_icdar2015(tmp_path, "val")


def break_json(change):
    annotations, files = coco_text()
    change(annotations)
    return files | {"cocotext.v2.json": json.dumps(annotations)}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: a.pop("anns"), ValueError, "cocotext.v2.json has an unexpected structure .KeyError: 'anns'"),
        (lambda a: a["imgs"]["1"].pop("set"), ValueError, "has an unexpected structure .KeyError: 'set'"),
        (lambda a: a.update(imgs=[]), ValueError, "has an unexpected structure .AttributeError"),
        (lambda a: a["imgs"]["1"].update(width=0), ValueError, "its annotation gives the size 120 x 0"),
        (lambda a: a["imgs"]["1"].update(file_name="../../secret.jpg"), FileNotFoundError, "secret.jpg is missing"),
        (lambda a: a["anns"]["11"].update(mask=[1, 2, 3, 4, 5, 6, 7]), ValueError, "annotation 11: 7 coordinates"),
        (lambda a: a["anns"]["12"].update(bbox=[1, 2, 3]), ValueError, "annotation 12: 3 coordinates, expected 4"),
        (lambda a: a["anns"]["12"].update(bbox=[1, 2, 3, "x"]), ValueError, "annotation 12: expected a number"),
        (lambda a: a["anns"]["12"].update(bbox=[190, 2, 30, 4]), ValueError, "annotation 12: the box reaches 20 pix"),
    ],
)
def test_broken_coco_text(lay, change, error, message):
    with pytest.raises(error, match=message):
        read_coco_text(lay(break_json(change)), "train")


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ({}, ValueError, "expected a list of objects"),
        ([{"file": "1.png"}], ValueError, "image 1, word 1: expected one of quad, polygon, box_xywh, box_xyxy"),
        ([{"words": []}], ValueError, "image 1 has an unexpected structure .KeyError: 'file'"),
        ([{"file": "1.png", "words": [3]}], ValueError, "image 1 has an unexpected structure"),
        ([{"file": "2.png", "words": []}], FileNotFoundError, "the file '2.png' that .*annotations.json names is miss"),
        ([{"file": "../../out.png", "words": []}], FileNotFoundError, "'../../out.png'.* is missing"),
        ([{"file": "1.png", "box_xywh": [1, 2, 3]}], ValueError, "image 1, word 1: 3 coordinates, expected 4"),
        ([{"file": "1.png", "box_xywh": [190, 2, 12, 3]}], ValueError, "image 1, word 1: the box reaches 2 pixels out"),
    ],
)
def test_broken_boxes_json(lay, entries, error, message):
    with pytest.raises(error, match=message):
        read_boxes_json(lay({"1.png": BLANK, "annotations.json": json.dumps(entries)}))


def test_broken_images_are_named(lay):
    whole = picture(format="JPEG")
    path = lay({"1.jpg": whole[: len(whole) - 20]})
    with pytest.raises(UnreadableImage, match="1.jpg: "):
        read_negatives(path)[0].open()


def broken_sets():
    """Sets with one picture that is whole, `1`, and one that is not; and how they are read."""
    coordinates = "10,20,30,40"
    pairs = {"train/gt_1.txt": coordinates, "train/gt_2.txt": coordinates}
    entries = [{"file": f"train/{i}.png", "box_xyxy": [10, 20, 30, 40]} for i in (1, 2)]
    tagged = "".join(
        f"<image><imageName>train/{i}.png</imageName><taggedRectangles>"
        '<taggedRectangle x="10" y="20" width="20" height="20"><tag>A</tag></taggedRectangle>'
        "</taggedRectangles></image>"
        for i in (1, 2)
    )
    return {
        "icdar2013": (pairs, lambda path: read_icdar2013(path, "train")),
        "svt": ({"train.xml": f"<tagset>{tagged}</tagset>"}, lambda path: read_svt(path, "train")),
        "textdis": (pairs, lambda path: read_textdis(path, "train")),
        "boxes_json": ({"annotations.json": json.dumps(entries)}, read_boxes_json),
        "negatives": ({}, read_negatives),
        "crops": ({}, read_crops),
    }


@pytest.mark.parametrize(("files", "read"), broken_sets().values(), ids=broken_sets())
def test_broken_images_are_skipped_and_named(lay, files, read):
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    for data, words in (
        (b"x", "not an image in a supported format"),
        (bomb.getvalue(), "9000 x 9000 pixels, more than"),
    ):
        path = lay({"train/1.png": BLANK, "train/2.png": data} | files)
        with pytest.warns(UserWarning, match=f"skipped .*train/2.png: {words}") as caught:
            (image,) = read(path)
        assert image.name.endswith("train/1.png") and len(caught) == 1
        if files:
            assert shapes(image) == [box(10, 20, 30, 40)]
    path = lay({"train/1.png": b"", "train/2.png": b"x"} | files)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="none of the 2 files can be read") as caught:
        read(path)
    assert str(path) in str(caught.value)


# Polygons written in each format and read back.

PUBLISHED = {
    "icdar2015": (formats.icdar2015, lambda q: ",".join(map(str, q)) + ",a, 1\n", 8),
    "icdar2013": (formats.icdar2013, lambda q: " ".join(map(str, q)) + ' "a"\n', 4),
    "total_text": (
        formats.total_text,
        lambda q: (
            f"x: [[{' '.join(map(str, q[::2]))}]], y: [[{' '.join(map(str, q[1::2]))}]], ornt: [u'c'], "
            "transcriptions: [u'x: [[1]]']\n"
        ),
        None,
    ),
}
coordinate = st.integers(0, HEIGHT) | st.floats(0, HEIGHT).map(lambda value: round(value, 3))


def quads(count):
    """Lists of polygons as flat lists of numbers; four numbers are the corners of a rectangle."""
    if count == 4:
        pair = st.tuples(coordinate, coordinate).map(sorted)
        return st.lists(
            st.tuples(pair, pair).map(lambda p: [p[0][0], p[1][0], p[0][1], p[1][1]]), min_size=1, max_size=9
        )
    length = st.just(count) if count else st.integers(3, 8).map(lambda points: 2 * points)
    return st.lists(length.flatmap(lambda n: st.lists(coordinate, min_size=n, max_size=n)), min_size=1, max_size=9)


def corners_of(numbers):
    return box(*numbers) if len(numbers) == 4 else np.reshape(numbers, (-1, 2)).tolist()


@pytest.mark.parametrize("name", PUBLISHED)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_published_formats_are_read_back(name, data):
    parse, write, count = PUBLISHED[name]
    written = data.draw(quads(count))
    words = parse("".join(map(write, written)).encode("utf-8-sig"), "file.txt")
    assert [word.points.tolist() for word in words] == [corners_of(numbers) for numbers in written]
    assert [word.where for word in words] == [f"file.txt, line {i + 1}" for i in range(len(written))]


FREE = {
    "commas": (".txt", lambda q: "\n".join(",".join(map(str, numbers)) for numbers in q)),
    "tabs and text": (".txt", lambda q: "\r\n".join("\t".join([*map(str, numbers), "w, 3"]) for numbers in q)),
    "json": (".json", json.dumps),
    "json of points": (".json", lambda q: json.dumps({"words": [{"points": corners_of(numbers)} for numbers in q]})),
    "xml": (".xml", lambda q: f"<a>{''.join(map(xml_points, map(corners_of, q)))}</a>"),
}


def xml_points(points):
    return f'<word points="{" ".join(f"{x},{y}" for x, y in points)}"/>'


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("count", [4, 8, 12])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_free_formats_are_read_back(name, count, data):
    suffix, write = FREE[name]
    written = data.draw(quads(count))
    if count == 4:
        # A box from corner to corner cannot have its right edge taken for a width.
        written.append([1, 1, HEIGHT, HEIGHT])
    rows = unknown_format.box_rows(write(written).encode("utf-8-sig"), f"file{suffix}")
    words, notes = unknown_format.infer(rows, [(HEIGHT, HEIGHT)] * len(rows), 0.5)
    assert [word.points.tolist() for word in words] == [corners_of(numbers) for numbers in written]
    assert len(notes) == 1 and notes[0].startswith(f"{len(written)} boxes read as ")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([".txt", ".xml", ".json"]), st.text(max_size=60) | st.text('0123456789,. -[]{}\n<>/a"', max_size=60)
)
def test_any_text_gives_boxes_or_one_clear_error(suffix, text):
    try:
        rows = unknown_format.box_rows(text.encode(), f"file{suffix}")
        unknown_format.infer(rows, [(HEIGHT, WIDTH)] * len(rows), 1)
    except ValueError as error:
        assert str(error).startswith(f"file{suffix}")


# Real data.


def test_real_icdar2015(shared_data, tmp_path):
    images = read_boxes_json(shared_data / "icdar2015_blurred" / "icdar2015_blurred.zip")
    assert len(images) == 460 and sum(len(image.polygons) for image in images) == 4825
    assert {image.size for image in images} == {(360, 640)} and images[0].open().size == (640, 360)
    # Its published ground truth is of images twice as large, which stand in here for those stored.
    with zipfile.ZipFile(shared_data / "icdar2015_blurred" / "icdar2015_blurred.zip") as packed:
        large = picture((1280, 720), format="JPEG")
        names = [name.rpartition("/")[2] for name in packed.namelist() if name.endswith(".txt")]
        files = {f"ch4_test_gt/{name}": packed.read(f"gt_original_1280x720/{name}") for name in names}
        files |= {f"ch4_test_images/{name[3:-4]}.jpg": large for name in names}
    published = {image.name.rpartition("/")[2]: image for image in read_icdar2015(zip_of(tmp_path, files), "test")}
    assert len(published) == 460
    for image in images:
        other = published[image.name.rpartition("/")[2]]
        assert other.care == image.care
        for polygon, twice in zip(image.polygons, other.polygons, strict=True):
            np.testing.assert_allclose(2 * polygon, twice, atol=0.01)


def test_real_plates(shared_data):
    images = read_boxes_json(shared_data / "plates" / "plates.zip")
    assert len(images) == 404 and all(len(image.polygons) == 1 for image in images)
    assert shapes(images[0]) == [pytest.approx(np.array(box(202.75, 174.08, 306.69, 197.63)), abs=1e-6)]
    crops = read_crops(shared_data / "plates" / "plate_crops.zip")
    assert len(crops) == 300 and all(image.open().size == image.size[::-1] for image in crops[:5])


@pytest.mark.parametrize(
    ("name", "count"), [("bsds500/bsds500_images.zip", 440), ("caltech101_subset/caltech101_subset.zip", 1600)]
)
def test_real_negatives(shared_data, name, count):
    images = read_negatives(shared_data / name)
    assert len(images) == count and not any(image.polygons for image in images)


def test_every_published_set_has_a_licence():
    assert READERS.keys() == LICENCES.keys() and all(LICENCES.values())
