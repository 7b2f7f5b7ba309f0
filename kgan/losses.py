"""Losses as pure functions of tensors: no state, no networks, one scalar out (unless the docstring says otherwise).

Discriminators return logits. Expectations over the data are means over the batch; squared norms are sums over the
features, as the papers write them.
"""

from keras import ops

# === Adversarial losses ===


def gan_discriminator_loss(real_logits, *fake_logits):
    """Cross entropy of a discriminator: real against one or more kinds of generated samples.

    `-E log D(x) - sum E log(1 - D(x'))`: CVAE-GAN eq. 1; with two kinds, line 9 of its Algorithm 1.

    Args:
        real_logits: `(batch, 1)`, logits of real samples.
        *fake_logits: `(batch, 1)` each, logits of generated samples.

    Example:

    >>> float(gan_discriminator_loss(ops.zeros((4, 1)), ops.zeros((4, 1))))  # 2 log 2
    1.3862943649291992
    """
    loss = ops.mean(ops.softplus(-real_logits))
    for logits in fake_logits:
        loss = loss + ops.mean(ops.softplus(logits))
    return loss


def gan_generator_loss(fake_logits):
    """Non-saturating cross entropy of a generator, `-E log D(x')`.

    Args:
        fake_logits: `(batch, 1)`, logits of generated samples.
    """
    return ops.mean(ops.softplus(-fake_logits))


def wasserstein_discriminator_loss(real_scores, fake_scores):
    """`E f(x') - E f(x)`, the negative of the Wasserstein estimate (Arjovsky et al., 2017).

    Args:
        real_scores, fake_scores: `(batch, 1)`, outputs of the critic.
    """
    return ops.mean(fake_scores) - ops.mean(real_scores)


def wasserstein_generator_loss(fake_scores):
    """`-E f(x')` (Arjovsky et al., 2017).

    Args:
        fake_scores: `(batch, 1)`, outputs of the critic.
    """
    return -ops.mean(fake_scores)


def gradient_penalty(slopes):
    """`E (|slope| - 1)^2` (Gulrajani et al., 2017, eq. 3, without the factor lambda).

    Args:
        slopes: `(batch, ...)`, gradients of the critic by its input. The norm is over all axes but the first.
    """
    norm = ops.sqrt(ops.sum(ops.square(ops.reshape(slopes, (ops.shape(slopes)[0], -1))), axis=1) + 1e-12)
    return ops.mean(ops.square(norm - 1))


# === Matching losses ===


def mean_matching_loss(real_centres, fake_centres):
    """Half the squared distance of feature centres, summed over centres: CVAE-GAN eq. 2 (one centre) and eq. 4.

    Args:
        real_centres, fake_centres: `(features,)` or `(classes, features)`.
    """
    return 0.5 * ops.sum(ops.square(real_centres - fake_centres))


def pairwise_matching_loss(first, second):
    """Half the squared distance of paired samples, summed over features, averaged over the batch: CVAE-GAN eq. 6, one
    term.

    Args:
        first, second: `(batch, ...)`, images or features of the same samples.
    """
    return 0.5 * ops.mean(ops.sum(ops.square(ops.reshape(first - second, (ops.shape(first)[0], -1))), axis=1))


def reconstruction_norm(inputs, reconstruction):
    """Euclidean distance of paired samples, averaged over the batch: MM-SSIT eq. 6.

    Its gradient does not fade as the two come close, and grows with the number of pixels: of `n` pixels it is
    `sqrt(n)` times their root mean square error.

    Args:
        inputs, reconstruction: `(batch, ...)`.

    Example:

    >>> float(reconstruction_norm(ops.zeros((1, 2)), ops.array([[3.0, 4.0]])))
    5.0
    """
    error = ops.reshape(inputs - reconstruction, (ops.shape(inputs)[0], -1))
    return ops.mean(ops.sqrt(ops.sum(ops.square(error), axis=1) + 1e-12))


# === Latent codes ===


def kl_divergence(mean, log_variance):
    """KL divergence of `N(mean, exp(log_variance))` from `N(0, 1)`, element by element.

    Args:
        mean, log_variance: `(batch, latent_dim)`.

    Returns:
        `(batch, latent_dim)`, in nats. CVAE-GAN eq. 5 is its sum over the last axis.
    """
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - log_variance - 1)


def kl_loss(mean, log_variance):
    """CVAE-GAN eq. 5: KL divergence summed over the latent dimensions, averaged over the batch."""
    return ops.mean(ops.sum(kl_divergence(mean, log_variance), axis=-1))


# === Classification ===


def classifier_loss(labels, logits):
    """Softmax cross entropy (CVAE-GAN eq. 3).

    Args:
        labels: `(batch,)` integers.
        logits: `(batch, classes)`.
    """
    return ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def partial_classifier_loss(labels, logits):
    """Softmax cross entropy of the samples that have a label; 0 where none has.

    Args:
        labels: `(batch,)` integers, -1 for a sample without a label.
        logits: `(batch, classes)`.

    Example:

    >>> float(partial_classifier_loss(ops.array([1, -1]), ops.zeros((2, 4))))  # log 4
    1.3862943649291992
    """
    labelled = ops.cast(labels >= 0, "float32")
    each = ops.sparse_categorical_crossentropy(ops.maximum(labels, 0), logits, from_logits=True)
    return ops.sum(labelled * each) / ops.maximum(ops.sum(labelled), 1.0)


def region_loss(labels, logits):
    """Cross entropy of independent yes / no labels, averaged over all: of 0 / 1 labels the loss of the text filter's
    teacher, of a teacher's probabilities the soft-label loss, eq. 3 of Zhao et al. (2019).

    Args:
        labels: `(batch, regions)` in [0, 1].
        logits: `(batch, regions)`.
    """
    return ops.mean(ops.softplus(logits) - labels * logits)


# === Distillation ===


def boundary_loss(teacher_features, student_features, margin=1.0, reduction="region_mean"):
    """Activation boundary loss: eq. 1 of Zhao et al. (2019), after Heo et al. (2019).

    Where a teacher's feature is above zero the student's is pushed above `margin`, elsewhere below `-margin`. The
    paper prints the indicator the other way round, against its own text and against Heo et al.; here it is as both
    mean it.

    Args:
        teacher_features: `(batch, regions, features)`, only the sign counts; no gradient.
        student_features: `(batch, regions, features)`, taken before any ReLU.
        margin: u of eq. 1, which the paper does not give; 1 in Heo et al.
        reduction: `"region_mean"`, the squared norm of a region averaged over regions and batch, as eq. 1; or
            `"sum_batch"`, summed over the regions of a sample, averaged over the batch, as Heo et al. do.

    Raises:
        ValueError: an unknown reduction.

    Example:

    >>> float(boundary_loss(ops.ones((1, 1, 1)), ops.zeros((1, 1, 1))))
    1.0
    """
    if reduction not in ("region_mean", "sum_batch"):
        raise ValueError(f'reduction={reduction!r}: pass "region_mean" or "sum_batch".')
    sides = ops.where(ops.stop_gradient(teacher_features) > 0, 1.0, -1.0)
    norms = ops.sum(ops.square(ops.relu(margin - sides * student_features)), axis=-1)
    return ops.mean(norms) if reduction == "region_mean" else ops.mean(ops.sum(norms, axis=-1))


def soft_label_kl(teacher_logits, student_logits):
    """KL divergence of a student's yes / no probabilities from a teacher's, averaged over all: `region_loss` with the
    teacher's probabilities, less their own entropy, which no student can go below.

    Args:
        teacher_logits, student_logits: `(batch, regions)`.
    """
    probabilities = ops.sigmoid(teacher_logits)
    return region_loss(probabilities, student_logits) - region_loss(probabilities, teacher_logits)


def sign_agreement(teacher_features, student_features):
    """Share of features that are above zero in both or in neither: how much of the boundary has been transferred."""
    return ops.mean(ops.cast((teacher_features > 0) == (student_features > 0), "float32"))


def reconstruction_error(inputs, reconstruction):
    """Mean absolute error of an auto-encoder, `|D(x) - x|` in eq. 4 to 6 of Zhao et al. (2019)."""
    return ops.mean(ops.abs(reconstruction - inputs))


def began_discriminator_loss(real_error, fake_error, k):
    """BEGAN (Berthelot et al., 2017): eq. 4 of Zhao et al. (2019).

    Args:
        real_error, fake_error: reconstruction errors of real and generated samples, scalars.
        k: how much of the fake error counts, in [0, 1].
    """
    return real_error - k * fake_error


def began_balance(real_error, fake_error, diversity_ratio):
    """By how much the real error, times `diversity_ratio`, is above the fake one: what moves k_t in eq. 6 of Zhao et
    al. (2019). With `|balance|` added to the real error it is BEGAN's measure of convergence."""
    return diversity_ratio * real_error - fake_error


# === Accuracies, to be logged beside the losses ===


def classifier_accuracy(labels, logits):
    """Share of samples whose class `(batch,)` has the greatest of the logits `(batch, num_classes)`."""
    return ops.mean(ops.cast(ops.equal(ops.cast(labels, "int32"), ops.argmax(logits, axis=-1)), "float32"))


def discriminator_accuracy(real_logits, *fake_logits):
    """Shares of real and of generated samples that a discriminator is right about.

    Args:
        real_logits, *fake_logits: as in `gan_discriminator_loss`.

    Returns:
        `{"real_accuracy": scalar, "fake_accuracy": scalar}`.
    """
    return {
        "real_accuracy": ops.mean(ops.cast(real_logits > 0, "float32")),
        "fake_accuracy": ops.mean(ops.cast(ops.concatenate(fake_logits) < 0, "float32")),
    }
