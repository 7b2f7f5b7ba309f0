"""CVAE-GAN and the baselines of its paper. Equation, section and line numbers refer to Bao et al., 2017."""

import keras
from keras import ops

from kgan import losses
from kgan.layers import MovingCentres, shift_and_mirror
from kgan.models.cvae_gan.base import Encoding, Generating, Judging

PARTS = ("image", "discriminator", "classifier")  # of the loss of G


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
        separate: whether the two kinds of losses of G have an optimizer each, those of the players `generator_codes`
            (reconstruction) and `generator_prior` (mean features), instead of one for their sum, `generator`. Adam
            cancels the scale of a loss: each kind then counts by the learning rate of its player, and of `lambdas`
            only the ratio of the last two still matters to G, which makes two updates a step. To average its weights,
            give `use_ema=True` to the optimizer of `generator_prior`, the last to update it.

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
        separate=False,
        **kwargs,
    ):
        if not set(matching) <= set(PARTS) or not matching:
            raise ValueError(f"matching={matching}: pass one or more of 'image', 'discriminator', 'classifier'.")
        weights = dict(matching) if isinstance(matching, dict) else dict.fromkeys(matching, 1.0)
        if not all(0 < weight < float("inf") for weight in weights.values()):
            raise ValueError(f"matching={matching}: pass weights above 0; leave out a part that shall not count.")
        if separate:
            _, lambda_2, lambda_3, lambda_4 = lambdas
            if not lambda_2 or not (lambda_3 and "discriminator" in weights or lambda_4 and "classifier" in weights):
                given = f"separate=True, lambdas={lambdas}, matching={matching}"
                raise ValueError(f"{given}: one of the two kinds of losses of G has no weight; use one optimizer.")
            # Set here because the base class makes a tracker for each. An optimizer with `use_ema` averages what it has
            # just updated, so samples of the prior come last.
            self.players = {
                "discriminator": ("discriminator",),
                "generator_codes": ("generator",),
                "generator_prior": ("generator",),
                "classifier": ("classifier",),
                "encoder": ("encoder",),
            }
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
        self.separate = separate
        self.exclusive = not separate
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
            "separate": self.separate,
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
        means = use_d * lambda_3 * mean_d + use_c * lambda_4 * mean_c
        of_generator = {"generator_codes": pairwise, "generator_prior": means}
        return {
            "classifier": losses.classifier_loss(labels, c_real["logits"]),
            "discriminator": losses.gan_discriminator_loss(
                d_real["logits"], d_reconstructed["logits"], d_prior["logits"]
            ),
            **(of_generator if self.separate else {"generator": pairwise + means}),
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
