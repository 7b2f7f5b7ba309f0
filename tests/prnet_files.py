"""Files in the format of PRNet's, and a network whose answer is known."""

import numpy as np

from kgan.faces.prnet import SIDE


def write_prnet(folder):
    """Write `face_ind.txt` and `uv_kpt_ind.txt` of a face with eyes, brows and a mouth; return the folder."""

    def ring(x, y, width, height, count):
        angle = np.pi + 2 * np.pi * np.arange(count) / count
        return np.column_stack([x + width * np.cos(angle), y + height * np.sin(angle)])

    def on_the_right(places):
        return places * (-1, 1) + (SIDE - 1, 0)

    eye, brow = ring(90, 67, 13, 6, 6), np.column_stack([np.linspace(58, 106, 5), np.full(5, 44)])
    jaw, nose = np.column_stack([np.linspace(15, 240, 17), np.full(17, 150)]), np.full((9, 2), 127.5)
    marks = [jaw, brow, on_the_right(brow)[::-1], nose, eye, on_the_right(eye)]
    marks += [ring(127.5, 140, 19, 12, 12), ring(127.5, 141, 16, 5, 8)]
    row, column = np.indices((SIDE, SIDE))
    face = (row >= 5) & (row <= 201) & (np.abs(column - 127.5) < 123 - 0.004 * np.maximum(row - 100, 0) ** 2)
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "face_ind.txt", np.flatnonzero(face), "%d")
    np.savetxt(folder / "uv_kpt_ind.txt", np.rint(np.concatenate(marks)).T)
    return folder


class Flat:
    """Stands for `PositionMapNet`: a face whose texels lie in its photograph as they do in the texture."""

    size = SIDE
    weight = 0.0

    def get_weights(self):
        return [np.full(3, self.weight)]

    def positions(self, faces):
        assert faces.shape == (1, SIDE, SIDE, 3) and 0 <= faces.min() and faces.max() <= 1
        row, column = np.indices((SIDE, SIDE))
        bump = 60 * np.exp(-((row - 100) ** 2 + (column - 127.5) ** 2) / 2 / 50**2)
        positions = [(column - 127.5) * 0.62 + 127.5, row * 0.62 + 22, bump]
        return np.stack(positions, axis=-1)[None].astype("float32")
