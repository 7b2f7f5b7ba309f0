"""CVAE-GAN and the models its paper compares it with. Equations and line numbers are those of Bao et al., 2017."""

import keras
from keras import ops

from kgan import losses
from kgan.layers import MovingCentres
from kgan.models.conditional import ClassConditional
from kgan.models.cvae_gan.editing import Editing
from kgan.models.cvae_gan.networks import build_classifier, build_encoder, build_generator
from kgan.models.gan.networks import dcgan_discriminator


class Generating(ClassConditional):
    """What the four models share: the paper's generator."""

    def __init__(self, num_classes, image_size, channels=3, latent_dim=256, width=1.0, **kwargs):
        shape = (image_size, channels, num_classes, latent_dim, width)
        super().__init__(build_generator(*shape), num_classes, image_size, channels, latent_dim, width, **kwargs)


class Encoding(Editing, Generating):
    """What the two models with an encoder share."""

    def __init__(
        self,
        num_classes,
        image_size,
        channels=3,
        latent_dim=256,
        width=1.0,
        lambdas=(3.0, 1.0, 1e-3, 1e-3),
        literal_sampling=False,
        **kwargs,
    ):
        super().__init__(num_classes, image_size, channels, latent_dim, width, **kwargs)
        self.lambdas = tuple(lambdas)
        self.literal_sampling = literal_sampling
        self.encoder = build_encoder(image_size, channels, num_classes, latent_dim, width)

    def get_config(self):
        return {**super().get_config(), "lambdas": self.lambdas, "literal_sampling": self.literal_sampling}

    def reconstruct_for_training(self, images, labels, training):
        """Lines 4 to 6: encode, sample, decode. Returns the images and the KL divergence (eq. 5)."""
        code = self.encoder([images, labels], training=training)
        noise = keras.random.normal(ops.shape(code["mean"]), seed=self.seed_generator)
        # Eq. 5 reads epsilon as a log-variance, the paper's sampling line as a log standard deviation.
        scale = ops.exp(code["log_variance"] * (1.0 if self.literal_sampling else 0.5))
        reconstructed = self.generator([code["mean"] + noise * scale, labels], training=training)
        return reconstructed, losses.kl_loss(**code)


@keras.saving.register_keras_serializable("kgan")
class CVAEGAN(Encoding):
    """CVAE-GAN: fine-grained image generation through asymmetric training (Bao et al., 2017).

    An encoder, a generator, a discriminator and a classifier. D and C minimise cross entropy; G never does: it matches
    mean features on D (eq. 2) and those of each class on C (eq. 4), and reconstructs real images in pixels and in the
    features of D and C (eq. 6); E adds the KL divergence (eq. 5). All losses come from one forward pass, then all four
    are updated (Algorithm 1).

    Fit on images `(batch, image_size, image_size, channels)` in [-1, 1] and integer labels `(batch,)`.

    What the paper leaves open: mean features on D are those of the batch (line 10), class centres on C are moving
    averages (line 12; see `kgan.layers.MovingCentres` for their gradient) with `decay`; default optimizers are
    Adam(2e-4, beta_1=0.5).

    Args:
        num_classes: number of classes, 2 or more.
        image_size: 32, 64, 128 or 256; the paper's is 128.
        channels: 1 or 3.
        latent_dim: length of the latent vector.
        width: scales the channels of all hidden layers, for small machines.
        lambdas: the weights of eq. 7: KL divergence, pairwise terms, mean matching, class matching.
        decay: of the moving averages of the class centres.
        matching: the parts of G's loss, for the ablation of section 5.5: `"image"` (pixels), `"discriminator"` and
            `"classifier"` (pairwise and mean features of that network).
        feature_layers: names of hidden layers whose outputs join the features, the inputs of the last fully connected
            layers: `discriminator_conv1` ..., `classifier_conv1` to `classifier_conv5`, `classifier_fc6`.
        literal_sampling: sample `z = mean + r * exp(epsilon)` as printed in the paper, which contradicts its eq. 5, in
            place of `mean + r * exp(epsilon / 2)`.

    Raises:
        ValueError: an argument out of range, an image outside [-1, 1], a label out of range.

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
        matching=("image", "discriminator", "classifier"),
        feature_layers=(),
        literal_sampling=False,
        **kwargs,
    ):
        super().__init__(
            num_classes, image_size, channels, latent_dim, width, lambdas, literal_sampling=literal_sampling, **kwargs
        )
        if not set(matching) <= {"image", "discriminator", "classifier"} or not matching:
            raise ValueError(f"matching={matching}: must name some of 'image', 'discriminator', 'classifier'.")
        self.decay = decay
        self.matching = tuple(matching)
        self.feature_layers = tuple(feature_layers)
        self.discriminator, self.classifier = _judges(self)
        self.centres = MovingCentres(num_classes, self.classifier.output["features"].shape[-1], decay)

    def get_config(self):
        return {
            **super().get_config(),
            "decay": self.decay,
            "matching": self.matching,
            "feature_layers": self.feature_layers,
        }

    def step(self, images, labels, training):
        one_hot = self.one_hot(labels)
        reconstructed, kl = self.reconstruct_for_training(images, one_hot, training)
        prior, prior_labels = self.generate_prior(images, training)
        kinds = (images, reconstructed, prior)
        d_real, d_reconstructed, d_prior = (self.discriminator(x, training=training) for x in kinds)
        c_real, c_reconstructed, c_prior = (self.classifier(x, training=training) for x in kinds)

        pixel = losses.pairwise_matching_loss(images, reconstructed)
        pairwise_d = losses.pairwise_matching_loss(d_real["features"], d_reconstructed["features"])
        pairwise_c = losses.pairwise_matching_loss(c_real["features"], c_reconstructed["features"])
        mean_d = losses.mean_matching_loss(_mean(d_real["features"]), _mean(d_prior["features"]))
        mean_c = losses.mean_matching_loss(*self.centres(c_real["features"], labels, c_prior["features"], prior_labels))

        lambda_1, lambda_2, lambda_3, lambda_4 = self.lambdas
        use_image, use_d, use_c = (float(part in self.matching) for part in ("image", "discriminator", "classifier"))
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


@keras.saving.register_keras_serializable("kgan")
class CVAE(Encoding):
    """Conditional VAE on CVAE-GAN's encoder and generator: pixels and KL divergence alone.

    Args:
        num_classes, image_size, channels, latent_dim, width, literal_sampling: as in `CVAEGAN`.
        lambdas: as in `CVAEGAN`; the first two are used.

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
class CGAN(Generating):
    """Conditional GAN (Mirza and Osindero, 2014) on CVAE-GAN's generator and discriminator.

    The discriminator sees the label too, mapped to one more channel of the image; the generator minimises the
    non-saturating cross entropy.

    Args:
        num_classes, image_size, channels, latent_dim, width: as in `CVAEGAN`.

    Example:

    >>> CGAN(num_classes=10, image_size=32, channels=1, width=0.1).generate([3], seed=0).shape
    (1, 32, 32, 1)
    """

    players = {"discriminator": ("discriminator",), "generator": ("generator",)}
    logged = ("real_accuracy", "fake_accuracy")

    def __init__(self, num_classes, image_size, channels=3, latent_dim=256, width=1.0, **kwargs):
        super().__init__(num_classes, image_size, channels, latent_dim, width, **kwargs)
        self.discriminator = dcgan_discriminator(image_size, channels, width, num_classes=num_classes)

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
class FMCGAN(Generating):
    """Mean feature matching conditional GAN (section 3.2): CVAE-GAN without encoder and pairwise terms.

    Args:
        num_classes, image_size, channels, latent_dim, width, decay, feature_layers: as in `CVAEGAN`.
        lambdas: as in `CVAEGAN`; the last two are used.

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
        **kwargs,
    ):
        super().__init__(num_classes, image_size, channels, latent_dim, width, **kwargs)
        self.lambdas = tuple(lambdas)
        self.decay = decay
        self.feature_layers = tuple(feature_layers)
        self.discriminator, self.classifier = _judges(self)
        self.centres = MovingCentres(num_classes, self.classifier.output["features"].shape[-1], decay)

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


def _judges(model):
    """The discriminator and the classifier of a model, each with the `feature_layers` that name it."""
    names = {"discriminator": [], "classifier": []}
    for layer in model.feature_layers:
        network = layer.split("_")[0]
        if network not in names:
            raise ValueError(f"feature_layers: {layer!r} must start with 'discriminator_' or 'classifier_'.")
        names[network].append(layer)
    shape = (model.image_size, model.channels)
    return (
        dcgan_discriminator(*shape, model.width, feature_layers=names["discriminator"]),
        build_classifier(*shape, model.num_classes, model.width, names["classifier"]),
    )


def _mean(features):
    return ops.mean(features, axis=0)
