"""What the encoder is good for after training: reconstruction, morphing, inpainting, super-resolution, mixed
identities.

All of it runs in inference mode and takes the mean of the latent distribution, so results are deterministic.
"""

import numpy as np

from kgan.models.conditional import check_labels


class Editing:
    """Mixin for models with `encoder`, `generator` and `generate`."""

    def encode(self, images, labels):
        """The latent distribution of each image.

        Args:
            images: `(n, image_size, image_size, channels)` in [-1, 1].
            labels: `(n,)` integers.

        Returns:
            `(mean, log_variance)`, NumPy arrays `(n, latent_dim)`.
        """
        images, labels = np.asarray(images, "float32"), np.asarray(labels)
        self.check_batch(images, labels)
        one_hot = np.eye(self.num_classes, dtype="float32")[labels]
        code = self.encoder.predict([images, one_hot], batch_size=256, verbose=0)
        return code["mean"], code["log_variance"]

    def reconstruct(self, images, labels):
        """Images through the encoder and back: `(n, image_size, image_size, channels)`. Arguments as in `encode`."""
        return self.generate(labels, latents=self.encode(images, labels)[0])

    def morph(self, a, b, label, steps=9):
        """Pictures between two images of a class (section 5.3): `z = alpha z_a + (1 - alpha) z_b`, alpha from 1 to 0.

        Args:
            a, b: `(n, image_size, image_size, channels)` in [-1, 1].
            label: int, or `(n,)` integers.
            steps: how many pictures, both ends included; 2 or more.

        Returns:
            `(n, steps, image_size, image_size, channels)`; the ends are the reconstructions of `a` and `b`.
        """
        if steps < 2:
            raise ValueError(f"steps={steps}: morphing needs 2 or more, both ends included.")
        labels = np.broadcast_to(np.asarray(label), (len(a),))
        first, last = self.encode(a, labels)[0], self.encode(b, labels)[0]
        alpha = np.linspace(1, 0, steps, dtype="float32")[None, :, None]
        latents = alpha * first[:, None] + (1 - alpha) * last[:, None]
        images = self.generate(np.repeat(labels, steps), latents=latents.reshape(-1, latents.shape[-1]))
        return images.reshape(len(labels), steps, *images.shape[1:])

    def inpaint(self, images, labels, mask, iterations=10):
        """Fill in a region (section 5.4): reconstruct, put the known pixels back (eq. 8), again and again.

        Args:
            images: `(n, image_size, image_size, channels)` in [-1, 1]; what stands in the region is the starting point.
            labels: `(n,)` integers.
            mask: broadcast against `images`, so `(image_size, image_size, 1)` for all or `(n, image_size, image_size,
                1)`; 1 where the pixel is to be filled in, 0 where it is known.
            iterations: 1 or more; the paper shows 1 to 10.

        Returns:
            `(n, image_size, image_size, channels)`; known pixels are those of `images`.
        """
        images, mask = np.asarray(images, "float32"), np.asarray(mask, "float32")
        return self._iterate(images, labels, iterations, lambda new: mask * new + (1 - mask) * images)

    def super_resolve(self, images, labels, iterations=10):
        """Add detail to small images: the iteration of `inpaint`, with the low-resolution content as what is known.

        Args:
            images: `(n, size, size, channels)` in [-1, 1], means over square blocks of the large images; `size`
                divides `image_size`.
            labels: `(n,)` integers.
            iterations: 1 or more.

        Returns:
            `(n, image_size, image_size, channels)` in [-1, 1].
        """
        images = np.asarray(images, "float32")
        size = images.shape[1]
        if images.ndim != 4 or images.shape[2] != size or self.image_size % size:
            raise ValueError(
                f"Small images must be square, of a size that divides {self.image_size}, got {images.shape}."
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
        """Images of classes that do not exist, with mixed labels (section 5.6 mixes three).

        Args:
            labels: `(n, k)` integers, the classes to mix for each image.
            weights: `(n, k)`, not negative, scaled to sum to 1; default: equal.
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
            raise ValueError(f"iterations={iterations}: must be 1 or more.")
        for _ in range(iterations):
            images = constrain(self.reconstruct(images, labels))
        return images
