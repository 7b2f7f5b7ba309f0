"""Base classes of CVAE-GAN and the baselines of its paper. Equation and line numbers refer to Bao et al., 2017."""

import keras
import numpy as np
from keras import ops

from kgan import losses
from kgan.layers import scaled
from kgan.models.conditional import ClassConditional
from kgan.models.cvae_gan.editing import Editing
from kgan.models.cvae_gan.latents import change_coordinates, class_whitening
from kgan.models.cvae_gan.networks import build_classifier, build_encoder, build_generators
from kgan.models.gan.networks import dcgan_discriminator


class Generating(ClassConditional):
    """Base class of the four models, with the generator of the paper.

    Args:
        generator_width: factor for the channels of the generator, None for that of the other networks.
        upsample: as in `build_generators`.
        twins: names of attributes for further networks that have the generator's weights, and statistics of their own.
    """

    def __init__(
        self,
        num_classes,
        image_size,
        channels=3,
        latent_dim=256,
        width=1.0,
        generator_width=None,
        upsample=False,
        twins=(),
        **kwargs,
    ):
        scaled(1, width)  # refuses it even where each network has another width
        shape = (image_size, channels, num_classes, latent_dim, width if generator_width is None else generator_width)
        generator, *others = build_generators(*shape, names=("generator", *twins), upsample=upsample)
        super().__init__(generator, num_classes, image_size, channels, latent_dim, width, **kwargs)
        self.generator_width = generator_width
        self.upsample = upsample
        for name, network in zip(twins, others, strict=True):
            setattr(self, name, network)

    def get_config(self):
        return {**super().get_config(), "generator_width": self.generator_width, "upsample": self.upsample}


class Judging:
    """Mixin for the models with a discriminator: its arguments, and how it is built.

    Args:
        discriminator_width: factor for the channels of the discriminator, None for that of the other networks.
        discriminator_norm: as in `dcgan_discriminator`.
    """

    def __init__(self, *args, discriminator_width=None, discriminator_norm="batch", **kwargs):
        super().__init__(*args, **kwargs)
        self.discriminator_width = discriminator_width
        self.discriminator_norm = discriminator_norm

    def get_config(self):
        names = ("discriminator_width", "discriminator_norm")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def new_discriminator(self, **options):
        width = self.width if self.discriminator_width is None else self.discriminator_width
        return dcgan_discriminator(self.image_size, self.channels, width, self.discriminator_norm, **options)

    def new_judges(self):
        """Build the discriminator and the classifier, each with its own of `self.feature_layers`, which are set."""
        names = {"discriminator": [], "classifier": []}
        for layer in self.feature_layers:
            network = layer.split("_")[0]
            if network not in names:
                raise ValueError(f"feature_layers: {layer!r} must start with 'discriminator_' or 'classifier_'.")
            names[network].append(layer)
        shape = (self.image_size, self.channels, self.num_classes, self.width)
        return (
            self.new_discriminator(feature_layers=names["discriminator"]),
            build_classifier(*shape, names["classifier"]),
        )


class Encoding(Editing, Generating):
    """Base class of the two models with an encoder."""

    def __init__(
        self,
        num_classes,
        image_size,
        channels=3,
        latent_dim=256,
        width=1.0,
        lambdas=(3.0, 1.0, 1e-3, 1e-3),
        literal_sampling=False,
        generator_width=None,
        upsample=False,
        **kwargs,
    ):
        shape = (num_classes, image_size, channels, latent_dim, width)
        super().__init__(*shape, generator_width=generator_width, upsample=upsample, **kwargs)
        self.lambdas = tuple(lambdas)
        self.literal_sampling = literal_sampling
        self.encoder = build_encoder(image_size, channels, self.num_classes, latent_dim, width)

    def get_config(self):
        return {**super().get_config(), "lambdas": self.lambdas, "literal_sampling": self.literal_sampling}

    def reconstruct_for_training(self, images, labels, training):
        """Encode, sample and decode (lines 4 to 6); return the images and the KL divergence (eq. 5)."""
        code = self.encoder([images, labels], training=training)
        noise = keras.random.normal(ops.shape(code["mean"]), dtype="float32", seed=self.seed_generator)
        # In eq. 5, epsilon is a log variance; in the sampling line of the paper, it is a log standard deviation.
        scale = ops.exp(code["log_variance"] * (1.0 if self.literal_sampling else 0.5))
        reconstructed = self._decoder()([code["mean"] + noise * scale, labels], training=training)
        return reconstructed, losses.kl_loss(**code)

    def whiten_latents(self, images, labels):
        """Change the coordinates of the latent space so that samples of the prior fall where codes of images are.

        A small weight of the KL divergence leaves the codes far from N(0, I): they depend on the class, and vary much
        in a few directions and little in the others. In the new coordinates, codes of each class have mean 0, and those
        of all classes together covariance I. Reconstructions, morphs and other edits of images stay as they are;
        `generate` and `mix_identities` draw other images. The paper has nothing like it; Ghosh et al. (2020) fit the
        prior to the codes in this way.

        Call it after the last `fit`: averages that an optimizer keeps of the weights stay as they are. Codes from
        before do not fit the model any more. The posteriors lose their differences in variance.

        Args:
            images: `(n, image_size, image_size, channels)` in [-1, 1]; those of the training.
            labels: `(n,)` integers.

        Raises:
            ValueError: an image or a label is out of range, or the model samples as printed in the paper.

        Example:

        ```python
        import kgan

        images, labels = kgan.data.load("digits")
        model = kgan.CVAEGAN(num_classes=10, image_size=32, channels=1, latent_dim=4, width=0.1)
        model.compile()
        model.fit(images[:256], labels[:256], batch_size=64, verbose=0)
        model.whiten_latents(images, labels)
        print(model.encode(images, labels)[0].std(axis=0).max() <= 1)
        ```
        """
        if self.literal_sampling:
            raise ValueError("literal_sampling=True has no log variances to whiten latents by.")
        labels = np.asarray(labels)
        codes = self.encode(images, labels)
        change_coordinates(self.encoder, self.generator, *class_whitening(*codes, labels, self.num_classes))

    def _decoder(self):
        # A method: Keras would save what a property returns a second time.
        return getattr(self, "decoder", self.generator)
