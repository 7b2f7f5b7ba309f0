"""The resizing of export/android, the part of it that runs without a device."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.backend_free

SOURCE = Path(__file__).resolve().parents[2] / "export" / "android" / "Resize.kt"
MAIN = """
fun main(arguments: Array<String>) {
    val (width, height, newWidth, newHeight) = arguments.map { it.toInt() }
    System.out.write(kgan.textfilter.resize(System.`in`.readBytes(), width, height, newWidth, newHeight))
    System.out.flush()
}
"""


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("kotlinc") and shutil.which("java")), reason="there is no Kotlin compiler")
def test_resize_is_that_of_pillow(tmp_path):
    main, program = tmp_path / "Main.kt", tmp_path / "main.jar"
    main.write_text(MAIN)
    command = ["kotlinc", str(SOURCE), str(main), "-include-runtime", "-d", str(program)]
    subprocess.run(command, check=True, capture_output=True)
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), "uint8")
    for width, height in ((240, 240), (36, 24), (11, 50), (140, 7)):
        sizes = map(str, (70, 50, width, height))
        done = subprocess.run(
            ["java", "-cp", str(program), "MainKt", *sizes], input=noise.tobytes(), capture_output=True, check=True
        )
        found = np.frombuffer(done.stdout, "uint8").reshape(height, width, 3)
        expected = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR), int)
        assert np.abs(found - expected).max() <= (height == 7)  # where Pillow may begin with the columns
