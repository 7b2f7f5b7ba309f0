"""Between images and textures in tensors, with gradients, by tables of four texels or pixels and their weights.

`kgan.faces.texture.render_table` makes the tables of a face once, in NumPy; a training step only looks things up.
"""

from keras import ops


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
    batch, channels = ops.shape(textures)[0], textures.shape[-1]
    texels = ops.reshape(textures, (batch, -1, channels))
    taken = ops.take_along_axis(texels, ops.reshape(index, (batch, -1, 1)), axis=1)
    taken = ops.reshape(taken, (batch, -1, 4, channels)) * weight[..., None]
    face = ops.reshape(ops.sum(taken, axis=2), ops.shape(images))
    return images + alpha * (face - images)
