"""AC-GAN. Equation numbers refer to Odena et al., 2017."""

import keras
from keras import layers

from kgan import losses
from kgan.models.conditional import ClassConditional
from kgan.models.cvae_gan.networks import build_generators
from kgan.models.gan.networks import dcgan_discriminator


@keras.saving.register_keras_serializable("kgan")
class ACGAN(ClassConditional):
    """AC-GAN: conditional image synthesis with an auxiliary classifier (Odena et al., 2017).

    The discriminator does not see the label. From the same features, it distinguishes real from generated images
    (`L_S`, eq. 2) and predicts the class of both (`L_C`, eq. 3). D maximises `L_S + L_C`. G maximises `L_C - L_S`, here
    with the non-saturating loss for `L_S`.

    Fit on images `(batch, image_size, image_size, channels)` in [-1, 1] and integer labels `(batch,)`.

    The networks are CVAE-GAN's generator and DCGAN's discriminator, so that AC-GAN differs from CGAN and CVAE-GAN only
    in its losses. The discriminator of the paper has dropout and a different size for each data set. Default optimizers
    are the paper's, Adam(2e-4, beta_1=0.5).

    Args:
        num_classes: number of classes, 2 or more.
        image_size: 32, 64, 128 or 256; 128 in the paper.
        channels: 1 or 3.
        latent_dim: length of the latent vector; 100 in the paper.
        width: factor for the channels of all hidden layers, in (0, 4]. Use a small one on small machines.
        classify_fakes: whether the discriminator also learns to predict the class of generated images, as in eq. 3. If
            False, it learns classes from real images only. A small discriminator otherwise agrees with the generator on
            images that it alone takes for the class.

    Raises:
        ValueError: if an argument is out of range. `fit` raises it if an image is outside [-1, 1] or a label is out of
            range.

    Example:

    ```python
    import kgan

    images, labels = kgan.data.load("digits")
    model = kgan.ACGAN(num_classes=10, image_size=32, channels=1, latent_dim=16, width=0.1)
    model.compile()
    model.fit(images[:256], labels[:256], batch_size=64, verbose=0)
    threes = model.generate([3] * 8, seed=0)  # (8, 32, 32, 1)
    ```
    """

    players = {"discriminator": ("discriminator",), "generator": ("generator",)}
    logged = (
        "class_real",
        "class_fake",
        "real_accuracy",
        "fake_accuracy",
        "classifier_accuracy",
        "fake_class_accuracy",
    )

    def __init__(self, num_classes, image_size, channels=3, latent_dim=100, width=1.0, classify_fakes=True, **kwargs):
        (generator,) = build_generators(image_size, channels, num_classes, latent_dim, width)
        super().__init__(generator, num_classes, image_size, channels, latent_dim, width, **kwargs)
        self.classify_fakes = classify_fakes
        judge = dcgan_discriminator(image_size, channels, width)
        class_logits = layers.Dense(self.num_classes, dtype="float32", name="class_logits")(judge.output["features"])
        outputs = {"logits": judge.output["logits"], "class_logits": class_logits}
        self.discriminator = keras.Model(judge.input, outputs, name="discriminator")

    def get_config(self):
        return {**super().get_config(), "classify_fakes": self.classify_fakes}

    def step(self, images, labels, training):
        prior, prior_labels = self.generate_prior(images, training)
        real, fake = (self.discriminator(x, training=training) for x in (images, prior))
        class_real = losses.classifier_loss(labels, real["class_logits"])
        class_fake = losses.classifier_loss(prior_labels, fake["class_logits"])
        classes = class_real + class_fake if self.classify_fakes else class_real
        return {
            "discriminator": losses.gan_discriminator_loss(real["logits"], fake["logits"]) + classes,
            "generator": losses.gan_generator_loss(fake["logits"]) + class_fake,
            "class_real": class_real,
            "class_fake": class_fake,
            "classifier_accuracy": losses.classifier_accuracy(labels, real["class_logits"]),
            "fake_class_accuracy": losses.classifier_accuracy(prior_labels, fake["class_logits"]),
            **losses.discriminator_accuracy(real["logits"], fake["logits"]),
        }
