"""Image editing with a trained encoder: reconstruction, morphing, inpainting, super-resolution, mixed identities.

All methods run in inference mode and use the mean of the latent distribution, so the results are deterministic.
"""

import numpy as np

from kgan.models.conditional import check_labels
from kgan.training import predict


class Editing:
    """Mixin that edits images, for models with `encoder`, `generator` and `generate`."""

    def encode(self, images, labels):
        """Encode each image as a latent distribution.

        Args:
            images: `(n, image_size, image_size, channels)` in [-1, 1].
            labels: `(n,)` integers.

        Returns:
            `(mean, log_variance)`, NumPy arrays `(n, latent_dim)`.
        """
        images, labels = np.asarray(images, "float32"), np.asarray(labels)
        self.check_batch(images, labels)
        one_hot = np.eye(self.num_classes, dtype="float32")[labels]
        code = predict(self.encoder, [images, one_hot], batch_size=256)
        return code["mean"], code["log_variance"]

    def reconstruct(self, images, labels):
        """Encode and decode images. Arguments as in `encode`; returns `(n, image_size, image_size, channels)`."""
        return self.decode(labels, self.encode(images, labels)[0])

    def decode(self, labels, latents):
        """Decode latents of real images, `(n, latent_dim)`, as `encode` finds them. Labels as in `generate`."""
        return self._images(self._decoder(), labels, latents)

    def morph(self, a, b, label, steps=9):
        """Morph one image of a class into another (section 5.3): `z = alpha z_a + (1 - alpha) z_b`, alpha from 1 to 0.

        Args:
            a, b: `(n, image_size, image_size, channels)` in [-1, 1].
            label: int, or `(n,)` integers.
            steps: number of pictures including both ends, 2 or more.

        Returns:
            `(n, steps, image_size, image_size, channels)`. The first and last pictures are the reconstructions of `a`
            and `b`.
        """
        if steps < 2:
            raise ValueError(f"steps={steps}: pass 2 or more; both ends count.")
        labels = np.broadcast_to(np.asarray(label), (len(a),))
        first, last = self.encode(a, labels)[0], self.encode(b, labels)[0]
        alpha = np.linspace(1, 0, steps, dtype="float32")[None, :, None]
        latents = alpha * first[:, None] + (1 - alpha) * last[:, None]
        images = self.decode(np.repeat(labels, steps), latents.reshape(-1, latents.shape[-1]))
        return images.reshape(len(labels), steps, *images.shape[1:])

    def inpaint(self, images, labels, mask, iterations=10):
        """Fill in a region (section 5.4).

        Each iteration reconstructs the images and restores the known pixels (eq. 8).

        Args:
            images: `(n, image_size, image_size, channels)` in [-1, 1]. The pixels in the region are the starting point.
            labels: `(n,)` integers.
            mask: `(image_size, image_size, 1)` for all images or `(n, image_size, image_size, 1)`: 1 for pixels to fill
                in, 0 for known pixels.
            iterations: 1 or more; the paper shows 1 to 10.

        Returns:
            `(n, image_size, image_size, channels)`. Known pixels equal those of `images`.
        """
        images, mask = np.asarray(images, "float32"), np.asarray(mask, "float32")
        return self._iterate(images, labels, iterations, lambda new: mask * new + (1 - mask) * images)

    def super_resolve(self, images, labels, iterations=10):
        """Add detail to small images, with the iteration of `inpaint`. The low-resolution content is what is known.

        Args:
            images: `(n, size, size, channels)` in [-1, 1]. Each pixel is the mean of a square block of the large image,
                and `size` divides `image_size`.
            labels: `(n,)` integers.
            iterations: 1 or more.

        Returns:
            `(n, image_size, image_size, channels)` in [-1, 1].
        """
        images = np.asarray(images, "float32")
        size = images.shape[1]
        if images.ndim != 4 or images.shape[2] != size or self.image_size % size:
            raise ValueError(
                f"Small images must be square, with a size that divides {self.image_size}, got {images.shape}."
            )
        block = self.image_size // size

        def enlarge(x):
            return x.repeat(block, axis=1).repeat(block, axis=2)

        def reduce(x):
            return x.reshape(len(x), size, block, size, block, -1).mean(axis=(2, 4))

        def keep_content(new):
            return np.clip(new + enlarge(images - reduce(new)), -1, 1)

        return self._iterate(enlarge(images), labels, iterations, keep_content)

    def mix_identities(self, labels, weights=None, latents=None, seed=None):
        """Generate images of new identities by mixing class labels (section 5.6 mixes three).

        Args:
            labels: `(n, k)` integers, the classes to mix for each image.
            weights: `(n, k)`, 0 or more, scaled to sum to 1. Default: equal.
            latents, seed: as in `generate`.

        Returns:
            `(n, image_size, image_size, channels)` in [-1, 1].
        """
        labels = np.asarray(labels)
        if labels.ndim != 2:
            raise ValueError(f"Labels to mix must be (n, k), got {labels.shape}.")
        check_labels(labels.reshape(-1), self.num_classes)
        weights = np.ones(labels.shape) if weights is None else np.asarray(weights, "float64")
        weights = weights / weights.sum(axis=1, keepdims=True)
        mixed = np.zeros((len(labels), self.num_classes), "float32")
        np.add.at(mixed, (np.arange(len(labels))[:, None], labels), weights)
        return self.generate(mixed, latents=latents, seed=seed)

    def _iterate(self, images, labels, iterations, constrain):
        if iterations < 1:
            raise ValueError(f"iterations={iterations}: pass 1 or more.")
        for _ in range(iterations):
            images = constrain(self.reconstruct(images, labels))
        return images
