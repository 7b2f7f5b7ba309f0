"""What `kgan makeup` takes for a photo on one core, and what for: medians over photos.

python tests/benchmarks/makeup_time.py photos/*.jpg       # the first is the reference, too
"""

import argparse
import os
import statistics
import time
from pathlib import Path

from kgan.faces.finder import find_faces
from kgan.faces.look import SIZE, look_of
from kgan.faces.makeup import Track, Wish, make_up
from kgan.faces.mesh import TRIANGLES
from kgan.faces.photo import Photo
from kgan.faces.raster import rasterise
from kgan.faces.texture import read_texture
from kgan.faces.transfer import colour_transfer

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("photos", nargs="+", type=Path)
options = parser.parse_args()
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

look = look_of(Photo.read(options.photos[0].read_bytes()).rgb)
taken = {}


def timed(step, function, *arguments):
    started = time.perf_counter()
    result = function(*arguments)
    taken.setdefault(step, []).append(time.perf_counter() - started)
    return result


for number, path in enumerate(options.photos):
    photo = timed("decode", Photo.read, path.read_bytes())
    face = timed("find the face", find_faces, photo.rgb, False)[0]
    texture = timed("read its texture", read_texture, photo.rgb, face.points, SIZE)
    difference = timed("transfer colours", colour_transfer, texture, look)
    image = timed("paint", photo.painted, [(face.points, difference)])
    timed("(rasterise alone)", rasterise, face.points, TRIANGLES, photo.rgb.size[::-1])
    timed("encode", photo.encoded, image)
    if number == 0:  # networks are loaded, tables are made
        taken.clear()
for step, seconds in taken.items():
    print(f"{step:18} {1000 * statistics.median(seconds):6.0f} ms")
whole = [sum(taken[step][i] for step in taken if step[0] not in "(de") for i in range(len(taken["decode"]))]
print(f"{'without files':18} {1000 * statistics.median(whole):6.0f} ms, median of {len(whole)} photos")

# As `--frames` does, one after another; each photo in four sizes, as if it came nearer.
track, seconds = Track(), []
for path in options.photos:
    photo = Photo.read(path.read_bytes())
    for reduced in (1.0, 0.98, 0.96, 0.94):
        width, height = (round(side * reduced) for side in photo.rgb.size)
        frame = Photo.of(photo.rgb.resize((width, height)))
        started = time.perf_counter()
        make_up(frame, look, Wish(), track(frame.rgb))
        seconds.append(time.perf_counter() - started)
print(f"{'frames':18} {1 / statistics.median(seconds):6.1f} a second, without files, median of {len(seconds)}")
