import keras
import numpy as np
import pytest
from keras import ops
from model_contract import check_golden, check_model, noise, record

import kgan

MODELS = ["ACGAN"]


def make(**options):
    return kgan.ACGAN(**{"num_classes": 3, "image_size": 32, "channels": 1, "latent_dim": 8, "width": 0.1, **options})


def data(n):
    return noise((n, 32, 32, 1), salt=3), np.arange(n, dtype="int32") % 3


def test_contract(tmp_path):
    images, labels = data(7)
    check_model(
        make,
        (images, labels),
        4,
        tmp_path,
        inputs=[noise((3, 8), salt=1), np.eye(3, dtype="float32")],
        output_shape=(3, 32, 32, 1),
        bad=((images, labels - 1), "Labels must be 0 to 2, got values from -1 to 1"),
    )


def test_golden(name="ACGAN"):
    model = make()
    model.compile({player: keras.optimizers.SGD(1e-4) for player in model.players})
    check_golden(name, model, data(32))


@pytest.mark.parametrize("classify_fakes", [True, False])
def test_losses_are_equations_2_and_3(classify_fakes):
    """From the discriminator's own outputs, in NumPy float64."""
    model, (images, labels) = make(classify_fakes=classify_fakes), data(6)
    with record(model.discriminator) as seen:
        classes = []
        one_hot, model.one_hot = model.one_hot, lambda labels: classes.append(labels) or one_hot(labels)
        found = {k: float(v) for k, v in model.step(ops.convert_to_tensor(images), labels, training=False).items()}
    real, fake = seen
    drawn = ops.convert_to_numpy(classes[0])

    def log_likelihood(labels, logits):
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return log_p[np.arange(6), labels].mean()

    log_real, log_fake = -np.logaddexp(0, -real["logits"]).mean(), -np.logaddexp(0, fake["logits"]).mean()
    classified = log_likelihood(labels, real["class_logits"]), log_likelihood(drawn, fake["class_logits"])
    of_classes = sum(classified) if classify_fakes else classified[0]
    assert found["discriminator"] == pytest.approx(-(log_real + log_fake) - of_classes, rel=1e-5)
    fooled = np.logaddexp(0, -fake["logits"]).mean()  # L_S of the generator, non-saturating
    assert found["generator"] == pytest.approx(fooled - classified[1], rel=1e-5)
    right = (real["class_logits"].argmax(1) == labels).mean(), (fake["class_logits"].argmax(1) == drawn).mean()
    assert (found["classifier_accuracy"], found["fake_class_accuracy"]) == pytest.approx(right)


def test_the_discriminator_does_not_see_the_label():
    assert make().discriminator.input_shape == (None, 32, 32, 1)
