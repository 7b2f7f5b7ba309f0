"""Between images and textures in tensors, with gradients, by tables of four texels or pixels and their weights.

`kgan.faces.texture.unwrap_table` and `render_table` make the tables of a face once, in NumPy; a training step only
looks things up.
"""

from keras import ops


def unwrap(images, index, weight):
    """Reads textures from images (makeup eq. 1).

    Args:
        images: `(batch, height, width, channels)`.
        index: int `(batch, size * size, 4)`, the pixels of each texel, row by row.
        weight: `(batch, size * size, 4)`, their weights.

    Returns:
        `(batch, size, size, channels)`.

    Example:

    ```python
    import numpy as np
    from kgan.faces.mesh import POINTS
    from kgan.faces.texture import unwrap_table

    images = np.random.default_rng(0).random((1, 48, 64, 3), "float32")
    points = POINTS[:, :2] * (2, -2) + (32, 24)
    textures = unwrap(images, *(part[None] for part in unwrap_table(points, (48, 64), size=32)))
    textures.shape  # (1, 32, 32, 3)
    ```
    """
    size = round(index.shape[1] ** 0.5)
    textures = _looked_up(*map(ops.convert_to_tensor, (images, index, weight)))
    return ops.reshape(textures, (-1, size, size, images.shape[-1]))


def render(textures, index, weight, alpha, images):
    """Renders textures into images (makeup eq. 3).

    Args:
        textures: `(batch, size, size, channels)`.
        index: int `(batch, height * width, 4)`, the texels of each pixel, row by row.
        weight: `(batch, height * width, 4)`, their weights.
        alpha: `(batch, height, width, 1)`, how much of each pixel is face.
        images: `(batch, height, width, channels)`, what is behind the face.

    Returns:
        `(batch, height, width, channels)`.

    Example:

    ```python
    pairs = kgan.data.load_makeup("synthetic/faces", count=2)
    table = (pairs[f"source_{name}"] for name in ("index", "weight", "alpha"))
    image = render(pairs["source_texture"], *table, pairs["source_image"])
    image.shape  # (2, 64, 64, 3)
    ```
    """
    textures, index, weight, alpha, images = map(ops.convert_to_tensor, (textures, index, weight, alpha, images))
    face = ops.reshape(_looked_up(textures, index, weight), ops.shape(images))
    return images + alpha * (face - images)


def _looked_up(values, index, weight):
    """Return the weighted sum over four values, of pixels or texels: `(batch, n, channels)`."""
    batch, channels = ops.shape(values)[0], values.shape[-1]
    flat = ops.reshape(values, (batch, -1, channels))
    taken = ops.take_along_axis(flat, ops.reshape(index, (batch, -1, 1)), axis=1)
    return ops.sum(ops.reshape(taken, (batch, -1, 4, channels)) * weight[..., None], axis=2)
