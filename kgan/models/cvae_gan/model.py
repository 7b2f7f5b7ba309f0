"""CVAE-GAN and the baselines of its paper. Equation, section and line numbers refer to Bao et al., 2017."""

import keras
import numpy as np
from keras import ops

from kgan import losses
from kgan.layers import MovingCentres, scaled, shift_and_mirror
from kgan.models.conditional import ClassConditional
from kgan.models.cvae_gan.editing import Editing
from kgan.models.cvae_gan.latents import change_coordinates, class_whitening
from kgan.models.cvae_gan.networks import build_classifier, build_encoder, build_generators
from kgan.models.gan.networks import dcgan_discriminator

PARTS = ("image", "discriminator", "classifier")  # of the loss of G


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


@keras.saving.register_keras_serializable("kgan")
class CVAEGAN(Judging, Encoding):
    """CVAE-GAN: fine-grained image generation through asymmetric training (Bao et al., 2017).

    The model consists of an encoder E, a generator G, a discriminator D and a classifier C. D and C minimise cross
    entropy. G does not; it minimises two kinds of losses:

    - It matches the mean features of D (eq. 2) and the mean features of each class in C (eq. 4).
    - It reconstructs real images in pixels and in the features of D and C (eq. 6).

    E minimises the reconstruction losses and the KL divergence (eq. 5). All losses come from one forward pass; then all
    four networks are updated (Algorithm 1).

    Fit on images `(batch, image_size, image_size, channels)` in [-1, 1] and integer labels `(batch,)`.

    Where the paper is not explicit, this implementation makes these choices. The mean features of D are means over the
    batch (line 10). The class centres in C are moving averages (line 12) with `decay`; `kgan.layers.MovingCentres`
    describes their gradient. Default optimizers are Adam(2e-4, beta_1=0.5).

    G decodes two kinds of latents, codes of real images and samples of the prior, each in a batch of its own. Their
    statistics differ. So at inference batch normalisation uses moving averages over the kind at hand: the network
    `generator` those of the prior, `decoder` those of codes. The weights of both networks are the same.

    Args:
        num_classes: number of classes, 2 or more.
        image_size: 32, 64, 128 or 256; 128 in the paper.
        channels: 1 or 3.
        latent_dim: length of the latent vector.
        width: factor for the channels of all hidden layers, in (0, 4]. Use a small one on small machines.
        lambdas: weights of eq. 7: KL divergence, pairwise terms, mean matching, class matching.
        decay: decay of the moving averages of the class centres, in [0, 1).
        matching: parts of the loss of G, for the ablation of section 5.5: any of `"image"` (pixels), `"discriminator"`
            and `"classifier"` (pairwise and mean features of that network). A dict `{part: weight}` weights them.
        feature_layers: names of hidden layers whose outputs are appended to the features: `discriminator_conv1` ...,
            `classifier_conv1` to `classifier_conv5`, `classifier_fc6`. By default, the features are only the inputs of
            the last fully connected layers.
        literal_sampling: whether to sample `z = mean + r * exp(epsilon)` as printed in the paper, which contradicts
            eq. 5, instead of `mean + r * exp(epsilon / 2)`.
        mixed_norm: whether both kinds of latents share one set of moving averages, as in usual batch normalisation. The
            paper does not say. Files of weights from before kgan had this argument need True.
        augment: whether D and C see each image, real or generated, shifted by up to an eighth and with a chance of one
            half mirrored; an image and its reconstruction alike. DiffAugment (Zhao et al., 2020) shifts so. With a few
            hundred images, they else learn these by heart. Generated images are themselves not augmented.
        generator_width: factor for the channels of G, in (0, 4]. By default that of the other networks.
        upsample: whether G doubles the size by bilinear interpolation and a 3x3 convolution instead of a transposed
            convolution, which can leave a pattern of squares (Odena et al., 2016).
        discriminator_width: factor for the channels of D, in (0, 4]. By default that of the other networks.
        discriminator_norm: normalisation in D, `"batch"`, `"layer"` or `"spectral"`, as in
            `kgan.models.gan.dcgan_discriminator`.

    Raises:
        ValueError: if an argument is out of range. `fit` raises it if an image is outside [-1, 1] or a label is out of
            range.

    Example:

    ```python
    import kgan

    images, labels = kgan.data.load("digits")
    model = kgan.CVAEGAN(num_classes=10, image_size=32, channels=1, latent_dim=16, width=0.1)
    model.compile()
    model.fit(images[:256], labels[:256], batch_size=64, verbose=0)
    threes = model.generate([3] * 8, seed=0)  # (8, 32, 32, 1)
    ```
    """

    players = {
        "classifier": ("classifier",),
        "discriminator": ("discriminator",),
        "generator": ("generator",),
        "encoder": ("encoder",),
    }
    logged = (
        "kl",
        "pixel",
        "pairwise_discriminator",
        "pairwise_classifier",
        "mean_matching",
        "class_matching",
        "real_accuracy",
        "fake_accuracy",
        "classifier_accuracy",
    )

    def __init__(
        self,
        num_classes,
        image_size,
        channels=3,
        latent_dim=256,
        width=1.0,
        lambdas=(3.0, 1.0, 1e-3, 1e-3),
        decay=0.9,
        matching=PARTS,
        feature_layers=(),
        literal_sampling=False,
        mixed_norm=False,
        augment=False,
        generator_width=None,
        upsample=False,
        discriminator_width=None,
        discriminator_norm="batch",
        **kwargs,
    ):
        if not set(matching) <= set(PARTS) or not matching:
            raise ValueError(f"matching={matching}: pass one or more of 'image', 'discriminator', 'classifier'.")
        weights = dict(matching) if isinstance(matching, dict) else dict.fromkeys(matching, 1.0)
        if not all(0 < weight < float("inf") for weight in weights.values()):
            raise ValueError(f"matching={matching}: pass weights above 0; leave out a part that shall not count.")
        shape = (num_classes, image_size, channels, latent_dim, width)
        twins = () if mixed_norm else ("decoder",)
        super().__init__(
            *shape,
            lambdas,
            literal_sampling,
            generator_width,
            upsample,
            twins=twins,
            discriminator_width=discriminator_width,
            discriminator_norm=discriminator_norm,
            **kwargs,
        )
        self.decay = decay
        self.matching = matching if isinstance(matching, dict) else tuple(matching)
        self._weight = {part: float(weights.get(part, 0.0)) for part in PARTS}
        self.mixed_norm = mixed_norm
        self.augment = augment
        self.feature_layers = tuple(feature_layers)
        self.discriminator, self.classifier = self.new_judges()
        self.centres = MovingCentres(self.num_classes, self.classifier.output["features"].shape[-1], decay)

    def get_config(self):
        return {
            **super().get_config(),
            "decay": self.decay,
            "matching": self.matching,
            "feature_layers": self.feature_layers,
            "mixed_norm": self.mixed_norm,
            "augment": self.augment,
        }

    @classmethod
    def from_config(cls, config):
        # Files from before there was a choice hold one set of moving averages.
        return super().from_config({"mixed_norm": True, **config})

    def step(self, images, labels, training):
        one_hot = self.one_hot(labels)
        reconstructed, kl = self.reconstruct_for_training(images, one_hot, training)
        prior, prior_labels = self.generate_prior(images, training)
        kinds = self.shown(images, reconstructed, prior, training)
        d_real, d_reconstructed, d_prior = (self.discriminator(x, training=training) for x in kinds)
        c_real, c_reconstructed, c_prior = (self.classifier(x, training=training) for x in kinds)

        pixel = losses.pairwise_matching_loss(images, reconstructed)
        pairwise_d = losses.pairwise_matching_loss(d_real["features"], d_reconstructed["features"])
        pairwise_c = losses.pairwise_matching_loss(c_real["features"], c_reconstructed["features"])
        mean_d = losses.mean_matching_loss(_mean(d_real["features"]), _mean(d_prior["features"]))
        mean_c = losses.mean_matching_loss(*self.centres(c_real["features"], labels, c_prior["features"], prior_labels))

        lambda_1, lambda_2, lambda_3, lambda_4 = self.lambdas
        use_image, use_d, use_c = (self._weight[part] for part in PARTS)
        pairwise = lambda_2 * (use_image * pixel + use_d * pairwise_d + use_c * pairwise_c)
        return {
            "classifier": losses.classifier_loss(labels, c_real["logits"]),
            "discriminator": losses.gan_discriminator_loss(
                d_real["logits"], d_reconstructed["logits"], d_prior["logits"]
            ),
            "generator": pairwise + use_d * lambda_3 * mean_d + use_c * lambda_4 * mean_c,
            "encoder": lambda_1 * kl + pairwise,
            "kl": kl,
            "pixel": pixel,
            "pairwise_discriminator": pairwise_d,
            "pairwise_classifier": pairwise_c,
            "mean_matching": mean_d,
            "class_matching": mean_c,
            "classifier_accuracy": losses.classifier_accuracy(labels, c_real["logits"]),
            **losses.discriminator_accuracy(d_real["logits"], d_reconstructed["logits"], d_prior["logits"]),
        }

    def shown(self, images, reconstructed, prior, training):
        """Return what D and C see of images, of their reconstructions and of samples of the prior."""
        if not (self.augment and training):
            return images, reconstructed, prior
        pair = ops.concatenate([images, reconstructed], axis=-1)
        pair = shift_and_mirror(pair, self.seed_generator)
        return (*ops.split(pair, 2, axis=-1), shift_and_mirror(prior, self.seed_generator))


@keras.saving.register_keras_serializable("kgan")
class CVAE(Encoding):
    """Conditional VAE with CVAE-GAN's encoder and generator, trained on pixels and KL divergence only.

    Args:
        num_classes, image_size, channels, latent_dim, width, literal_sampling, generator_width, upsample: as in
            `CVAEGAN`.
        lambdas: as in `CVAEGAN`; only the first two are used.

    Example:

    >>> CVAE(num_classes=10, image_size=32, channels=1, width=0.1).generate([3], seed=0).shape
    (1, 32, 32, 1)
    """

    players = {"generator": ("generator",), "encoder": ("encoder",)}
    logged = ("kl", "pixel")

    def step(self, images, labels, training):
        reconstructed, kl = self.reconstruct_for_training(images, self.one_hot(labels), training)
        pixel = losses.pairwise_matching_loss(images, reconstructed)
        pairwise = self.lambdas[1] * pixel
        return {"generator": pairwise, "encoder": self.lambdas[0] * kl + pairwise, "kl": kl, "pixel": pixel}


@keras.saving.register_keras_serializable("kgan")
class CGAN(Judging, Generating):
    """Conditional GAN (Mirza and Osindero, 2014) with CVAE-GAN's generator and discriminator.

    The discriminator also sees the label, mapped to an additional channel of the image. The generator minimises the
    non-saturating cross entropy.

    Args:
        num_classes, image_size, channels, latent_dim, width, generator_width, upsample, discriminator_width,
            discriminator_norm: as in `CVAEGAN`.

    Example:

    >>> CGAN(num_classes=10, image_size=32, channels=1, width=0.1).generate([3], seed=0).shape
    (1, 32, 32, 1)
    """

    players = {"discriminator": ("discriminator",), "generator": ("generator",)}
    logged = ("real_accuracy", "fake_accuracy")

    def __init__(
        self,
        num_classes,
        image_size,
        channels=3,
        latent_dim=256,
        width=1.0,
        generator_width=None,
        upsample=False,
        discriminator_width=None,
        discriminator_norm="batch",
        **kwargs,
    ):
        shape = (num_classes, image_size, channels, latent_dim, width, generator_width, upsample)
        judge = {"discriminator_width": discriminator_width, "discriminator_norm": discriminator_norm}
        super().__init__(*shape, **judge, **kwargs)
        self.discriminator = self.new_discriminator(num_classes=self.num_classes)

    def step(self, images, labels, training):
        prior, prior_labels = self.generate_prior(images, training)
        d_real = self.discriminator([images, self.one_hot(labels)], training=training)
        d_prior = self.discriminator([prior, self.one_hot(prior_labels)], training=training)
        return {
            "discriminator": losses.gan_discriminator_loss(d_real["logits"], d_prior["logits"]),
            "generator": losses.gan_generator_loss(d_prior["logits"]),
            **losses.discriminator_accuracy(d_real["logits"], d_prior["logits"]),
        }


@keras.saving.register_keras_serializable("kgan")
class FMCGAN(Judging, Generating):
    """Mean feature matching conditional GAN (section 3.2): CVAE-GAN without encoder and pairwise terms.

    Args:
        num_classes, image_size, channels, latent_dim, width, decay, feature_layers, generator_width, upsample,
            discriminator_width, discriminator_norm: as in `CVAEGAN`.
        lambdas: as in `CVAEGAN`; only the last two are used.

    Example:

    >>> FMCGAN(num_classes=10, image_size=32, channels=1, width=0.1).generate([3], seed=0).shape
    (1, 32, 32, 1)
    """

    players = {
        "classifier": ("classifier",),
        "discriminator": ("discriminator",),
        "generator": ("generator",),
    }
    logged = ("mean_matching", "class_matching", "real_accuracy", "fake_accuracy", "classifier_accuracy")

    def __init__(
        self,
        num_classes,
        image_size,
        channels=3,
        latent_dim=256,
        width=1.0,
        lambdas=(3.0, 1.0, 1e-3, 1e-3),
        decay=0.9,
        feature_layers=(),
        generator_width=None,
        upsample=False,
        discriminator_width=None,
        discriminator_norm="batch",
        **kwargs,
    ):
        shape = (num_classes, image_size, channels, latent_dim, width, generator_width, upsample)
        judge = {"discriminator_width": discriminator_width, "discriminator_norm": discriminator_norm}
        super().__init__(*shape, **judge, **kwargs)
        self.lambdas = tuple(lambdas)
        self.decay = decay
        self.feature_layers = tuple(feature_layers)
        self.discriminator, self.classifier = self.new_judges()
        self.centres = MovingCentres(self.num_classes, self.classifier.output["features"].shape[-1], decay)

    def get_config(self):
        return {
            **super().get_config(),
            "lambdas": self.lambdas,
            "decay": self.decay,
            "feature_layers": self.feature_layers,
        }

    def step(self, images, labels, training):
        prior, prior_labels = self.generate_prior(images, training)
        d_real, d_prior = (self.discriminator(x, training=training) for x in (images, prior))
        c_real, c_prior = (self.classifier(x, training=training) for x in (images, prior))
        mean_d = losses.mean_matching_loss(_mean(d_real["features"]), _mean(d_prior["features"]))
        mean_c = losses.mean_matching_loss(*self.centres(c_real["features"], labels, c_prior["features"], prior_labels))
        return {
            "classifier": losses.classifier_loss(labels, c_real["logits"]),
            "discriminator": losses.gan_discriminator_loss(d_real["logits"], d_prior["logits"]),
            "generator": self.lambdas[2] * mean_d + self.lambdas[3] * mean_c,
            "mean_matching": mean_d,
            "class_matching": mean_c,
            "classifier_accuracy": losses.classifier_accuracy(labels, c_real["logits"]),
            **losses.discriminator_accuracy(d_real["logits"], d_prior["logits"]),
        }


def _mean(features):
    return ops.mean(features, axis=0)
