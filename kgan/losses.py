"""Losses and accuracies as pure functions of tensors, without state or networks.

A function returns one scalar unless its docstring says otherwise. Discriminators return logits. Expectations over the
data are means over the batch. Squared norms are sums over the features, as in the papers.
"""

from keras import ops

# === Adversarial losses ===


def gan_discriminator_loss(real_logits, *fake_logits):
    """Cross entropy of a discriminator between real samples and one or more kinds of generated samples.

    `-E log D(x) - sum E log(1 - D(x'))`: CVAE-GAN eq. 1 with one kind, line 9 of its Algorithm 1 with two kinds.

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
    """Loss of a Wasserstein critic, `E f(x') - E f(x)` (Arjovsky et al., 2017).

    It is the negative of the estimated Wasserstein distance.

    Args:
        real_scores, fake_scores: `(batch, 1)`, outputs of the critic.
    """
    return ops.mean(fake_scores) - ops.mean(real_scores)


def wasserstein_generator_loss(fake_scores):
    """Loss of a generator against a Wasserstein critic, `-E f(x')` (Arjovsky et al., 2017).

    Args:
        fake_scores: `(batch, 1)`, outputs of the critic.
    """
    return -ops.mean(fake_scores)


def least_squares_discriminator_loss(real_scores, fake_scores):
    """Least squares loss of a discriminator, `E (D(x) - 1)^2 + E D(x')^2` (Mao et al., 2017; makeup eq. 10 and 12).

    Args:
        real_scores, fake_scores: `(batch, ...)`, outputs of the discriminator, one for each patch.

    Example:

    >>> float(least_squares_discriminator_loss(ops.zeros((2, 4, 4, 1)), ops.ones((2, 4, 4, 1))))
    2.0
    """
    return ops.mean(ops.square(real_scores - 1)) + ops.mean(ops.square(fake_scores))


def least_squares_generator_loss(fake_scores):
    """Least squares loss of a generator, `E (D(x') - 1)^2` (Mao et al., 2017; makeup eq. 11 and 13).

    Args:
        fake_scores: `(batch, ...)`, outputs of the discriminator, one for each patch.
    """
    return ops.mean(ops.square(fake_scores - 1))


def gradient_penalty(slopes):
    """Gradient penalty, `E (|slope| - 1)^2` (Gulrajani et al., 2017, eq. 3, without the factor lambda).

    Args:
        slopes: `(batch, ...)`, gradients of the critic with respect to its input. The norm is taken over all axes but
            the first.
    """
    norm = ops.sqrt(ops.sum(ops.square(ops.reshape(slopes, (ops.shape(slopes)[0], -1))), axis=1) + 1e-12)
    return ops.mean(ops.square(norm - 1))


# === Matching losses ===


def histogram_loss(values, references, seen=None, references_seen=None, norm=False):
    """Squared distance of a region to itself with the histograms of a reference's region (makeup eq. 6).

    Each channel is matched by rank, which is histogram matching if no two values are equal, and what it is matched to
    counts as constant. Where the regions differ in size, the values of the reference are interpolated. Equal values get
    different ranks, while histogram matching gives all of them the same value: colours in 256 levels come out up to 3
    levels apart.

    Args:
        values: `(batch, n, channels)`, the colours of a region.
        references: `(batch, m, channels)`, those of the reference's region.
        seen, references_seen: bool `(batch, n)` and `(batch, m)`, which of them count; None for all. A sample of which
            nothing counts adds nothing.
        norm: whether the distance is the Euclidean norm that the paper prints, and not the mean square.

    Example:

    >>> values = ops.reshape(ops.arange(4, dtype="float32"), (1, 4, 1))
    >>> float(histogram_loss(values, ops.flip(values, axis=1)))  # the same values elsewhere
    0.0
    """
    values, count, counts = _ordered(values, seen)
    references, others, _ = _ordered(ops.stop_gradient(references), references_seen)
    ranks = ops.arange(values.shape[1], dtype="float32")[None]
    last = ops.maximum(others - 1, 0)
    places = ops.clip((ranks + 0.5) * others / ops.maximum(count, 1) - 0.5, 0, last)
    low = ops.floor(places)
    lower, upper = (
        ops.take_along_axis(references, ops.cast(at, "int32")[..., None], axis=1)
        for at in (low, ops.minimum(low + 1, last))
    )
    matched = lower + (places - low)[..., None] * (upper - lower)
    squares = ops.where(counts & (others > 0), 1.0, 0.0)[..., None] * ops.square(values - matched)
    if norm:
        return ops.mean(ops.sqrt(ops.sum(squares, axis=(1, 2)) + 1e-12))
    return ops.mean(ops.sum(squares, axis=(1, 2)) / (values.shape[-1] * ops.maximum(count[:, 0], 1)))


def _ordered(values, seen):
    """Sort what is seen along axis 1. Return it, padded with zeros, how many there are, and where it is no padding."""
    if seen is None:
        seen = ops.ones_like(values[..., 0], dtype="bool")
    count = ops.sum(ops.cast(seen, "float32"), axis=1, keepdims=True)
    ordered = ops.sort(ops.where(seen[..., None], values, 1e9), axis=1)
    counts = ops.arange(values.shape[1], dtype="float32")[None] < count
    return ops.where(counts[..., None], ordered, 0.0), count, counts


def mean_matching_loss(real_centres, fake_centres):
    """Half the squared distance between real and generated feature centres, summed over the centres.

    CVAE-GAN eq. 2 (one centre) and eq. 4 (one centre per class).

    Args:
        real_centres, fake_centres: `(features,)` or `(classes, features)`.
    """
    return 0.5 * ops.sum(ops.square(real_centres - fake_centres))


def pairwise_matching_loss(first, second):
    """Half the squared distance between paired samples, summed over the features and averaged over the batch.

    One term of CVAE-GAN eq. 6.

    Args:
        first, second: `(batch, ...)`, images or features of the same samples.
    """
    return 0.5 * ops.mean(ops.sum(ops.square(ops.reshape(first - second, (ops.shape(first)[0], -1))), axis=1))


def reconstruction_norm(inputs, reconstruction):
    """Euclidean distance between paired samples, averaged over the batch (MM-SSIT eq. 6).

    Its gradient does not vanish as a reconstruction approaches its input. The loss grows with the size of a sample: for
    `n` values it is `sqrt(n)` times their root mean square error.

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
    """Elementwise KL divergence of `N(mean, exp(log_variance))` from `N(0, 1)`.

    Args:
        mean, log_variance: `(batch, latent_dim)`.

    Returns:
        `(batch, latent_dim)`, in nats. CVAE-GAN eq. 5 is its sum over the last axis.
    """
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - log_variance - 1)


def kl_loss(mean, log_variance):
    """KL divergence summed over the latent dimensions and averaged over the batch (CVAE-GAN eq. 5).

    Args:
        mean, log_variance: `(batch, latent_dim)`.
    """
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
    """Softmax cross entropy averaged over the labelled samples, or 0 if there are none.

    Args:
        labels: `(batch,)` integers, -1 for an unlabelled sample.
        logits: `(batch, classes)`.

    Example:

    >>> float(partial_classifier_loss(ops.array([1, -1]), ops.zeros((2, 4))))  # log 4
    1.3862943649291992
    """
    labelled = ops.cast(labels >= 0, "float32")
    each = ops.sparse_categorical_crossentropy(ops.maximum(labels, 0), logits, from_logits=True)
    return ops.sum(labelled * each) / ops.maximum(ops.sum(labelled), 1.0)


def multilabel_loss(labels, logits):
    """Binary cross entropy of independent labels, averaged over classes and batch.

    It trains multi-label classifiers and, with regions for classes, the teacher of the text filter. With the teacher's
    probabilities as labels it is the soft-label loss, eq. 3 of Zhao et al. (2019).

    Args:
        labels: `(batch, classes)` in [0, 1].
        logits: `(batch, classes)`.
    """
    return ops.mean(ops.softplus(logits) - labels * logits)


def asymmetric_loss(labels, logits, positive_focus=0.0, negative_focus=4.0, shift=0.05):
    """Asymmetric loss of independent labels (Ridnik et al., 2021, eq. 4 to 7), averaged over classes and batch.

    `-y (1 - p)^a log p - (1 - y) q^b log(1 - q)` with `q = max(p - shift, 0)`: easy negatives count less, and very easy
    ones not at all. The authors' code sums where this averages, and treats the powers as constants.

    Args:
        labels: `(batch, classes)` in [0, 1].
        logits: `(batch, classes)`.
        positive_focus, negative_focus: the exponents a and b, 0 or more.
        shift: the probability below which a negative has no loss, in [0, 1).

    Example:

    >>> float(asymmetric_loss(ops.zeros((1, 1)), ops.full((1, 1), -3.0)))  # a probability of 0.047
    0.0
    """
    # Powers of 0 have no finite slope: 1 - p is taken as exp(-softplus), and what is not counted as any other number.
    positive = ops.softplus(-logits) * ops.exp(-positive_focus * ops.softplus(logits))
    shifted = ops.sigmoid(logits) - shift
    counted = ops.where(shifted > 0, shifted, 0.5)
    # -log(1 - q), which must not take the logarithm of 0.
    surprise = -ops.log(ops.minimum(ops.sigmoid(-logits) + shift, 1.0)) if shift else ops.softplus(logits)
    negative = ops.where(shifted > 0, surprise * counted**negative_focus, 0.0)
    return ops.mean(labels * positive + (1 - labels) * negative)


def positive_loss(labels, logits):
    """Cross entropy of the positive labels alone, `-y log p` averaged over classes and batch (SPL, eq. 3 as printed).

    Its minimum is a probability of 1 for every class that has any weight.

    Args:
        labels: `(batch, classes)` in [0, 1].
        logits: `(batch, classes)`.
    """
    return ops.mean(labels * ops.softplus(-logits))


def soft_class_loss(labels, logits):
    """Softmax cross entropy with soft labels, `-sum y log softmax(logits)` averaged over the batch.

    With equal labels it is the loss of LSRO (Zheng et al., 2017).

    Args:
        labels: `(batch, classes)`, 0 or more; a distribution if a row sums to 1.
        logits: `(batch, classes)`.
    """
    return -ops.mean(ops.sum(labels * ops.log_softmax(logits), axis=-1))


# === Distillation ===


def boundary_loss(teacher_features, student_features, margin=1.0, reduction="region_mean"):
    """Activation boundary loss: eq. 1 of Zhao et al. (2019), after Heo et al. (2019).

    If a feature of the teacher is positive, the feature of the student is pushed above `margin`, otherwise below
    `-margin`. The paper prints the indicator the other way round, which contradicts its own text and Heo et al. This
    function follows the text.

    Args:
        teacher_features: `(batch, regions, features)`. Only the sign matters, and no gradient flows back.
        student_features: `(batch, regions, features)`, taken before any ReLU.
        margin: u of eq. 1. The paper gives no value; Heo et al. use 1.
        reduction: `"region_mean"` averages the squared norm of a region over regions and batch, as eq. 1 does.
            `"sum_batch"` sums it over the regions and averages over the batch, as Heo et al. do.

    Raises:
        ValueError: if `reduction` is unknown.

    Example:

    >>> float(boundary_loss(ops.ones((1, 1, 1)), ops.zeros((1, 1, 1))))
    1.0
    """
    if reduction not in ("region_mean", "sum_batch"):
        raise ValueError(f'reduction={reduction!r}: pass "region_mean" or "sum_batch".')
    sides = 2 * ops.cast(ops.stop_gradient(teacher_features) > 0, student_features.dtype) - 1
    norms = ops.sum(ops.square(ops.relu(margin - sides * student_features)), axis=-1)
    return ops.mean(norms) if reduction == "region_mean" else ops.mean(ops.sum(norms, axis=-1))


def soft_label_kl(teacher_logits, student_logits):
    """KL divergence `KL(teacher || student)` of the region probabilities, averaged over regions and batch.

    It equals `multilabel_loss` with the teacher's probabilities as labels, minus their entropy. The entropy is the
    lowest value that `multilabel_loss` can reach, so the divergence of a perfect student is 0.

    Args:
        teacher_logits, student_logits: `(batch, regions)`.
    """
    probabilities = ops.sigmoid(teacher_logits)
    return multilabel_loss(probabilities, student_logits) - multilabel_loss(probabilities, teacher_logits)


def sign_agreement(teacher_features, student_features):
    """Share of features that are positive in both networks or in neither, in [0, 1].

    It measures how much of the activation boundary has been transferred.

    Args:
        teacher_features, student_features: `(batch, regions, features)`.
    """
    return ops.mean(ops.cast((teacher_features > 0) == (student_features > 0), "float32"))


def reconstruction_error(inputs, reconstruction):
    """Mean absolute error of an autoencoder, `|D(x) - x|` in eq. 4 to 6 of Zhao et al. (2019)."""
    return ops.mean(ops.abs(reconstruction - inputs))


def began_discriminator_loss(real_error, fake_error, k):
    """Discriminator loss of BEGAN (Berthelot et al., 2017), eq. 4 of Zhao et al. (2019).

    Args:
        real_error, fake_error: reconstruction errors of real and generated samples, scalars.
        k: weight of the fake error, in [0, 1].
    """
    return real_error - k * fake_error


def began_balance(real_error, fake_error, diversity_ratio):
    """Balance term of BEGAN, `diversity_ratio * real_error - fake_error`.

    It updates k_t in eq. 6 of Zhao et al. (2019). BEGAN's measure of convergence is `real_error + |balance|`.

    Args:
        real_error, fake_error: reconstruction errors of real and generated samples, scalars.
        diversity_ratio: target of `fake_error / real_error`.
    """
    return diversity_ratio * real_error - fake_error


# === Accuracies, logged with the losses ===


def classifier_accuracy(labels, logits):
    """Share of samples whose class has the highest logit.

    Args:
        labels: `(batch,)` integers.
        logits: `(batch, num_classes)`.
    """
    return ops.mean(ops.cast(ops.equal(ops.cast(labels, "int32"), ops.argmax(logits, axis=-1)), "float32"))


def discriminator_accuracy(real_logits, *fake_logits):
    """Shares of real and of generated samples that a discriminator classifies correctly.

    Args:
        real_logits, *fake_logits: as in `gan_discriminator_loss`.

    Returns:
        `{"real_accuracy": scalar, "fake_accuracy": scalar}`.
    """
    return {
        "real_accuracy": ops.mean(ops.cast(real_logits > 0, "float32")),
        "fake_accuracy": ops.mean(ops.cast(ops.concatenate(fake_logits) < 0, "float32")),
    }
