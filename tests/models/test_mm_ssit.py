import keras
import numpy as np
import pytest
from keras import ops
from model_contract import check_golden, check_model, noise, record, values

import kgan
from kgan import losses
from kgan.layers import DomainBatchNormalization
from kgan.models.mm_ssit import networks
from kgan.models.mm_ssit.model import TRAINED, WEIGHTS
from kgan.models.mm_ssit.networks import build_decoders, build_encoders

MODELS = ["MMSSIT", "CDAAE"]


def make(**options):
    return kgan.MMSSIT(**{"num_classes": 3, "width": 0.05, "content_dim": 12, "style_dim": 4, **options})


def make_cdaae(**options):
    return kgan.CDAAE(**{"num_classes": 3, "width": 0.05, "content_dim": 12, "style_dim": 4, **options})


def data(n, labelled=True):
    labels = np.where(np.arange(n) % 2, -1, np.arange(n) // 2 % 3).astype("int32") if labelled else -np.ones(n, "int32")
    return {
        "images_a": noise((n, 32, 32, 3), salt=3),
        "labels_a": labels,
        "images_b": noise((n, 32, 32, 3), salt=4) * 0.5,
        "labels_b": np.roll(labels, 2),
    }


def check(make_model, folder):
    whole = data(14)
    check_model(
        make_model,
        (whole,),
        8,
        folder,
        inputs=(whole["images_a"][:3], noise((3, 4), salt=1)),
        output_shape=(3, 32, 32, 3),
        bad=((whole | {"labels_b": whole["labels_b"] + 3},), "labels_b must be -1 to 2"),
    )


def test_contract(tmp_path):
    check(lambda: make(ramp_steps=5), tmp_path)


@pytest.mark.only_on("torch")
def test_contract_of_cdaae(tmp_path):
    check(make_cdaae, tmp_path)


@pytest.mark.only_on("torch")
def test_contract_of_separate_optimizers(tmp_path):
    check(lambda: make(separate=True, weights={"style_recovery": 0.5}), tmp_path)


@pytest.mark.parametrize("new", [make, make_cdaae])
def test_a_call_translates_from_a_to_b(new):
    model, images, styles = new(), data(3)["images_a"], noise((3, 4), salt=1)
    expected = model.translate(images, "a", "b", styles[:, None])[:, 0]
    np.testing.assert_allclose(model.predict((images, styles), verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("separate", [False, True])
def test_moving_averages_of_the_weights_are_keras_own(separate):
    """With `use_ema` training goes on as without, and leaves the averages in the model."""
    batches = [{name: array[i : i + 8] for name, array in data(24).items()} for i in (0, 8, 16)]

    def new(**options):
        keras.utils.set_random_seed(3)
        model = make(separate=separate)
        model.compile({player: keras.optimizers.SGD(0.1, **options) for player in model.players})
        return model

    model, seen = new(), []
    for batch in batches:
        model.train_on_batch(batch)
        seen.append(values(model.decoder_a.trainable_variables))
    model = new(use_ema=True, ema_momentum=0.5)
    model.fit(data(24), batch_size=8, shuffle=False, verbose=0)
    averages = values(model.decoder_a.trainable_variables)
    for first, second, third, average in zip(*seen, averages, strict=True):
        np.testing.assert_allclose(average, first / 4 + second / 4 + third / 2, atol=1e-5)


@pytest.mark.only_on("tensorflow", "torch")  # TensorFlow is the stricter of them in products of two types
def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make()
        model.compile()
        history = model.fit(data(16), batch_size=8, verbose=0).history
        assert all(np.isfinite(value).all() for value in history.values())
        norms = [layer for layer in model._flatten_layers() if isinstance(layer, DomainBatchNormalization)]
        assert norms and all(norm.moving_mean.dtype == "float32" and norm.compute_dtype == "bfloat16" for norm in norms)
        assert model.translate(data(2)["images_a"]).dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", MODELS)
def test_golden(name):
    model = {"MMSSIT": make, "CDAAE": make_cdaae}[name](width=0.1)
    model.compile({player: keras.optimizers.SGD(1e-4) for player in model.players})
    check_golden(name, model, (data(32),))


# === Networks ===


def parameters(models):
    variables = {id(v): v for model in models for v in model.trainable_variables}
    return sum(int(np.prod(v.shape)) for v in variables.values())


def test_sizes_are_the_papers():
    model = kgan.MMSSIT(num_classes=10)
    names = [name for names in model.players.values() for name in names]
    assert parameters([getattr(model, name) for name in names]) == pytest.approx(2.9e6, rel=0.02)
    # Without gains and offsets, which the table does not count.
    encoders = [*model.content_encoder_a.trainable_variables, *model.style_encoder_a.trainable_variables]
    kernels = [v for v in encoders if v.path.endswith("kernel")]
    assert sum(int(np.prod(v.shape)) for v in kernels) == 75_456 + 819_200 + 344_064
    decoder = [v for v in model.decoder_a.trainable_variables if v.path.endswith("kernel")]
    assert sum(int(np.prod(v.shape)) for v in decoder) == 722_624


@pytest.mark.parametrize("size", networks.SIZES)
def test_every_size(size):
    encoders = build_encoders(size, 2, 4, 12, 0.05, False)
    decoders = build_decoders(size, 2, 4, 12, 0.05, False, (1,))
    for content_encoder, style_encoder, decoder in zip(*encoders, decoders, strict=True):
        codes = content_encoder(np.zeros((2, size, size, 3), "float32"))
        style = style_encoder(codes["stem"])
        assert tuple(codes["content"].shape) == (2, 12) and tuple(style.shape) == (2, 4)
        assert tuple(decoder([codes["content"], style]).shape) == (2, size, size, 3)


def convolutions(model):
    return [v for v in model.trainable_variables if v.path.endswith("kernel")]


@pytest.mark.parametrize("share", [(), (1,), (1, 2), (1, 2, 3), (4,)])
def test_decoders_share_what_they_should(share):
    first, second = (convolutions(d) for d in build_decoders(32, 2, 4, 12, 0.05, False, share))
    assert len(first) == 4
    assert [a is b for a, b in zip(first, second, strict=True)] == [number in share for number in (1, 2, 3, 4)]


def test_encoders_share_stem_and_content_but_no_style():
    for (first, second), shared in zip(build_encoders(32, 2, 4, 12, 0.05, False), (4, 0), strict=True):
        first, second = convolutions(first), convolutions(second)
        assert len(first) == len(second) == (shared or 3)
        assert len({id(v) for v in first} & {id(v) for v in second}) == shared


def test_a_layer_that_is_not_there_is_not_shared():
    with pytest.raises(ValueError, match="numbered from 1 to 4"):
        make(share=(5,))


@pytest.mark.every_backend
def test_domain_batch_norm_is_batch_norm():
    """In training as Keras has it; at test with the averages of the domain, which the other one leaves alone."""
    ours, theirs = DomainBatchNormalization(2), keras.layers.BatchNormalization(momentum=0.95, epsilon=1e-3)
    first, second = noise((6, 5, 5, 3), salt=1) * 3 + 1, noise((6, 5, 5, 3), salt=2) - 4
    for _ in range(3):
        expected = theirs(first, training=True)
        np.testing.assert_allclose(*values_of(ours(first, domain=0, training=True), expected), atol=1e-5)
    ours(second, domain=1, training=True)
    np.testing.assert_allclose(*values_of(ours(first, domain=0), theirs(first)), atol=1e-5)
    theirs = keras.layers.BatchNormalization(momentum=0.95, epsilon=1e-3)
    theirs(second, training=True)
    np.testing.assert_allclose(*values_of(ours(second, domain=1), theirs(second)), atol=1e-5)


def values_of(*tensors):
    return [ops.convert_to_numpy(t) for t in tensors]


@pytest.mark.parametrize("mixed", [False, True])
def test_domains_have_statistics_of_their_own_unless_mixed(mixed):
    model = make(mixed_norm=mixed)
    model.compile()
    before = values_of(*model.content_encoder_b.predict(data(4)["images_b"], verbose=0).values())
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, DomainBatchNormalization)]
    kept = [ops.convert_to_numpy(norm.moving_mean.value)[-1].copy() for norm in norms]
    model.content_encoder_a(data(8)["images_a"] + 5, training=True)
    same = [
        np.array_equal(a, ops.convert_to_numpy(norm.moving_mean.value)[-1]) for a, norm in zip(kept, norms, strict=True)
    ]
    after = values_of(*model.content_encoder_b.predict(data(4)["images_b"], verbose=0).values())
    stem_is_same = np.array_equal(before[0], after[0])
    assert stem_is_same != mixed and all(same) != mixed


# === Losses ===


def test_partial_loss_is_of_the_labelled_alone():
    logits = noise((6, 4), salt=9) * 3
    labels = np.array([2, -1, 0, -1, 3, -1], "int32")
    log_p = logits - np.log(np.exp(logits.astype("float64")).sum(axis=1, keepdims=True))
    expected = -np.mean([log_p[i, labels[i]] for i in (0, 2, 4)])
    found = losses.partial_classifier_loss(ops.convert_to_tensor(labels), ops.convert_to_tensor(logits))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    nothing = losses.partial_classifier_loss(ops.full((6,), -1, dtype="int32"), ops.convert_to_tensor(logits))
    assert float(nothing) == 0.0


def softplus(x):
    return np.logaddexp(0, x)


def cross_entropy(labels, logits):
    """Mean over the samples that have a label, in float64."""
    logits = np.asarray(logits, "float64")
    log_p = (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )
    kept = labels >= 0
    return -log_p[kept, labels[kept]].mean() if kept.any() else 0.0


@pytest.mark.parametrize("weights", ["paper", "cdaae", {"style_recovery": (3, 0.5), "label": (2, 0.5)}])
@pytest.mark.parametrize("domain_loss", ["reversal", "flip"])
@pytest.mark.parametrize("separate", [False, True])
def test_step_is_equation_7(weights, domain_loss, separate):
    """Every term recomputed in NumPy from the outputs of the networks."""
    model, batch = make(weights=weights, domain_loss=domain_loss, confidence=0.4, separate=separate), data(9)
    for variable in model.category_classifier.trainable_variables:
        variable.assign(30 * variable)  # so that it is sure of some
    drawn = []
    original = keras.random.normal

    def draw(shape, **options):
        drawn.append(noise((9, 4), salt=50 + len(drawn)))
        return ops.convert_to_tensor(drawn[-1])

    keras.random.normal = draw
    try:
        tensors = {name: ops.convert_to_tensor(array) for name, array in batch.items()}
        found = {name: float(value) for name, value in model.step(tensors, training=False).items()}
    finally:
        keras.random.normal = original
    given = WEIGHTS[weights] if isinstance(weights, str) else {**WEIGHTS["paper"], **weights}
    weight = {k: np.broadcast_to(np.asarray(v, float), (2,)) for k, v in given.items()}
    terms = dict.fromkeys(WEIGHTS["paper"], 0.0)
    weighted = dict.fromkeys(WEIGHTS["paper"], 0.0)
    discriminator = 0.0
    names, decoders = "ab", (model.decoder_a, model.decoder_b)
    encoders = model.content_encoder_a, model.content_encoder_b
    style_encoders = model.style_encoder_a, model.style_encoder_b
    for i in range(2):
        images, labels = batch[f"images_{names[i]}"], batch[f"labels_{names[i]}"]
        codes = encoders[i].predict(images, verbose=0)
        style = style_encoders[i].predict(codes["stem"], verbose=0)
        judge = getattr(model, f"style_discriminator_{names[i]}")
        real, fake = judge.predict(drawn[i], verbose=0), judge.predict(style, verbose=0)
        domain = model.domain_classifier.predict(codes["content"], verbose=0)
        logits = model.category_classifier.predict(codes["content"], verbose=0)
        translated = decoders[1 - i].predict([codes["content"], drawn[1 - i]], verbose=0)
        again = encoders[1 - i].predict(translated, verbose=0)
        recovered = style_encoders[1 - i].predict(again["stem"], verbose=0)
        again = model.category_classifier.predict(again["content"], verbose=0)
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        own = np.where((labels < 0) & (p.max(1) >= 0.4), p.argmax(1), -1)
        assert (own >= 0).any()
        reconstructed = decoders[i].predict([codes["content"], style], verbose=0)
        here = {
            "style": softplus(-fake).mean(),
            "domain": cross_entropy(np.full(9, i), domain),
            "label": cross_entropy(labels, logits),
            "consistency": cross_entropy(labels, again),
            "self_consistency": cross_entropy(own, again),
            "reconstruction": np.linalg.norm((reconstructed - images).reshape(9, -1), axis=1).mean(),
            "style_recovery": np.abs(recovered - drawn[1 - i]).mean() * bool(given["style_recovery"]),
        }
        discriminator += softplus(-real).mean() + softplus(fake).mean() + here["domain"]
        against = -here["domain"] if domain_loss == "reversal" else cross_entropy(np.full(9, 1 - i), domain)
        for term, value in here.items():
            terms[term] += value
            weighted[term] += weight[term][i] * (against if term == "domain" else value)
    if separate:
        losses_of = {f"autoencoder_{term}": value for term, value in weighted.items() if weight[term].any()}
    else:
        losses_of = {"autoencoder": sum(weighted.values())}
    assert set(model.players) == {"discriminator", *losses_of}
    for term, value in {**terms, **losses_of, "discriminator": discriminator}.items():
        assert found[term] == pytest.approx(value, rel=2e-4, abs=1e-5), term


def test_without_labels_only_what_needs_none_is_left():
    model = make()
    model.compile()
    history = model.fit(data(8, labelled=False), batch_size=8, verbose=0).history
    assert history["label"] == history["consistency"] == [0.0]
    assert history["self_consistency"][0] > 0 and history["reconstruction"][0] > 0


def test_targets_of_its_own_give_no_gradient_and_need_confidence():
    model = make(confidence=1.0)
    logits = ops.convert_to_tensor(noise((5, 3), salt=1))
    labels = ops.convert_to_tensor(np.array([-1, 0, -1, 1, -1], "int32"))
    assert values_of(model._own_targets(labels, logits))[0].tolist() == [-1] * 5
    found = values_of(make()._own_targets(labels, logits))[0]
    expected = np.where(np.array([1, 0, 1, 0, 1]), noise((5, 3), salt=1).argmax(1), -1)
    assert found.tolist() == expected.tolist()


def test_the_work_against_the_domain_classifier_grows():
    model = make(ramp_steps=4)
    model.compile({player: keras.optimizers.SGD(0.0) for player in model.players})
    seen = []
    for _ in range(6):
        seen.append(float(model._ramp(training=False)))
        model.train_on_batch(data(4))
    assert seen == [0, 0.25, 0.5, 0.75, 1, 1]


def test_encoder_and_domain_classifier_pull_apart():
    """One step of either alone: the classifier lowers the domain loss, the encoder raises it."""
    batch = data(32)
    for player, sign in (("discriminator", -1), ("autoencoder", 1)):
        keras.utils.set_random_seed(0)
        model = make(weights=dict.fromkeys(WEIGHTS["paper"], 0) | {"domain": 1}, width=0.1)
        rates = {name: 1e-2 if name == player else 0.0 for name in model.players}
        model.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
        seen = [float(model.train_on_batch(batch, return_dict=True)["domain"]) for _ in range(1)]
        for _ in range(5):
            model.reset_metrics()
            seen.append(float(model.train_on_batch(batch, return_dict=True)["domain"]))
        assert sign * (seen[-1] - seen[0]) > 0


# === An optimizer for each term ===

ALL_TERMS = {"style_recovery": 0.5, "label": (2, 0.5), "domain": 3}


def step_of(**options):
    """A model that took a step of SGD(1), always from the same weights; its weights before and after; the logs."""
    keras.utils.set_random_seed(5)
    model = make(**options)
    model.compile({player: keras.optimizers.SGD(1.0) for player in model.players})
    before = values(model.weights)
    logs = model.train_on_batch(data(8), return_dict=True)
    return model, before, values(model.weights), {name: float(value) for name, value in logs.items()}


def stem_of(model):
    """The ids of the stem's weights."""
    codes = keras.Model(model.content_encoder_a.input, model.content_encoder_a.output["stem"])
    return {id(v) for v in codes.trainable_variables}


def test_updates_of_all_terms_add_up():
    """With SGD, to the update of one optimizer for all. The stem moves as if the term `style` weighed nothing."""
    model, before, separate, logs = step_of(separate=True, weights=ALL_TERMS)
    _, start, joint, joint_logs = step_of(weights=ALL_TERMS)
    _, _, without_style, _ = step_of(weights={**ALL_TERMS, "style": 0})
    assert all(np.array_equal(a, b) for a, b in zip(before, start, strict=True))
    stem, far = stem_of(model), []
    for variable, new, together, without in zip(model.weights, separate, joint, without_style, strict=True):
        expected = without if id(variable) in stem else together
        np.testing.assert_allclose(new, expected, atol=2e-5, err_msg=variable.path)
        far.append(np.abs(without - together).max() > 1e-3)
    assert {id(v) for v, is_far in zip(model.weights, far, strict=True) if is_far} & stem
    for name in model.logged:
        assert logs[name] == pytest.approx(joint_logs[name], rel=1e-5)
    parts = sum(logs[f"autoencoder_{term}_loss"] for term in TRAINED)
    assert parts == pytest.approx(joint_logs["autoencoder_loss"], rel=1e-5)


@pytest.mark.parametrize("term", TRAINED)
def test_a_term_trains_what_its_gradient_reaches(term):
    """The weights that move if no other term weighs anything; `style` would reach the stem too."""
    alone = dict.fromkeys(TRAINED, 0) | {term: 1}
    model, before, after, _ = step_of(weights=alone)
    discriminator = {id(v) for v in model._player_variables()["discriminator"]}
    moved = {
        id(v)
        for v, old, new in zip(model.weights, before, after, strict=True)
        if v.trainable and not np.array_equal(old, new)
    }
    owned = {id(v) for name in TRAINED[term] for v in getattr(model, name).trainable_variables}
    assert moved - discriminator == owned | (stem_of(model) if term == "style" else set())

    model = make(weights=alone, separate=True)
    assert list(model.players) == ["discriminator", f"autoencoder_{term}"]
    paths = {v.path for name in TRAINED[term] for v in getattr(model, name).trainable_variables}
    assert {v.path for v in model._player_variables()[f"autoencoder_{term}"]} == paths


def test_each_term_has_a_learning_rate_of_its_own():
    """The classifier's step, of the three terms that train it, from gradients computed in NumPy."""
    rates = {"autoencoder_label": 0.5, "autoencoder_consistency": 2.0, "autoencoder_self_consistency": 5.0}
    model, batch = make(separate=True), data(9)
    model.compile({player: keras.optimizers.SGD(rates.get(player, 0.0)) for player in model.players})
    kernel, bias = values(model.category_classifier.trainable_variables)
    with record(model.content_encoder_a) as seen_a, record(model.content_encoder_b) as seen_b:
        model.train_on_batch(batch)
    seen = {"a": seen_a, "b": seen_b}
    kernel_step, bias_step = 0.0, 0.0
    for d, other in ("ab", "ba"):
        labels = batch[f"labels_{d}"]
        content, again = seen[d][0]["content"], seen[other][1]["content"]
        own = np.where(labels < 0, (content @ kernel + bias).argmax(1), -1)
        for term, codes, targets in (
            ("label", content, labels),
            ("consistency", again, labels),
            ("self_consistency", again, own),
        ):
            kept = targets >= 0
            logits = codes[kept] @ kernel + bias
            p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            error = (p - np.eye(3)[targets[kept]]) / kept.sum()
            kernel_step -= rates[f"autoencoder_{term}"] * codes[kept].T @ error
            bias_step -= rates[f"autoencoder_{term}"] * error.sum(0)
    after = values(model.category_classifier.trainable_variables)
    np.testing.assert_allclose(after[0] - kernel, kernel_step, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after[1] - bias, bias_step, rtol=1e-4, atol=1e-5)
    assert np.abs(kernel_step).max() > 0.1


def test_terms_have_one_optimizer_unless_separate():
    model = make(separate=True)
    assert "autoencoder_style_recovery" not in model.players  # its weight is 0
    assert set(model.default_optimizers()) == set(model.players)
    config = make().get_config()
    del config["separate"]  # of a file that is older than the option
    assert kgan.MMSSIT.from_config(config).players == kgan.MMSSIT.players
    assert set(kgan.MMSSIT.players) == {"discriminator", "autoencoder"}


# === CDAAE ===


def test_phases_of_cdaae(monkeypatch):
    """Each loss recomputed in NumPy: first over the samples with labels, then over those without."""
    model, batch = make_cdaae(label_weights=(3.0, 0.5)), data(9)
    prior = noise((9, 4), salt=50)
    monkeypatch.setattr(keras.random, "normal", lambda shape, **options: ops.convert_to_tensor(prior))
    tensors = {name: ops.convert_to_tensor(array) for name, array in batch.items()}
    found = {}
    for phase in model.phases():
        name = "unlabelled" if phase.run == model.unlabelled else "labelled"
        found.setdefault(name, {}).update({k: float(v) for k, v in phase.run(tensors, training=False).items()})

    expected = {name: dict.fromkeys(losses, 0.0) for name, losses in found.items()}
    for d, other in ("ab", "ba"):
        images, labels = batch[f"images_{d}"], batch[f"labels_{d}"]
        part = {name: getattr(model, f"{name}_{d}").predict for name in ("style_encoder", "style_discriminator")}
        codes = getattr(model, f"content_encoder_{d}").predict(images, verbose=0)
        logits = model.category_classifier.predict(codes["content"], verbose=0)
        soft = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        style = part["style_encoder"](codes["stem"], verbose=0)
        real, fake = (part["style_discriminator"](x, verbose=0)[:, 0] for x in (prior, style))
        decoders = [getattr(model, f"decoder_{name}") for name in (d, other)]
        error = ((decoders[0].predict([soft, style], verbose=0) - images) ** 2).mean(axis=(1, 2, 3))
        translated = decoders[1].predict([soft, prior], verbose=0)
        again = getattr(model, f"content_encoder_{other}").predict(translated, verbose=0)["content"]
        again = model.category_classifier.predict(again, verbose=0)
        for name, rows in (("labelled", labels >= 0), ("unlabelled", labels < 0)):
            expected[name]["discriminator"] += (softplus(-real) + softplus(fake))[rows].mean()
            expected[name]["style"] += softplus(-fake)[rows].mean()
            expected[name]["reconstruction"] += {"a": 2.0, "b": 0.15}[d] * error[rows].mean()
        expected["labelled"]["label"] += {"a": 3.0, "b": 0.5}[d] * cross_entropy(labels, logits)
        expected["labelled"]["consistency"] += 0.3 * cross_entropy(labels, again)
        own = np.where(labels < 0, logits.argmax(1), -1)
        expected["unlabelled"]["self_consistency"] += 0.3 * cross_entropy(own, again)
    for name, terms in expected.items():
        assert found[name] == pytest.approx(terms, rel=2e-4, abs=1e-5)


def test_supervised_cdaae_leaves_samples_without_labels_alone():
    assert len(make_cdaae(supervised=True).phases()) == 4
    ends = []
    for change in (0, 0.5):
        keras.utils.set_random_seed(0)
        model, batch = make_cdaae(supervised=True), data(8)
        for d in "ab":
            batch[f"images_{d}"][batch[f"labels_{d}"] < 0] *= 1 - change
        tensors = {name: ops.convert_to_tensor(array) for name, array in batch.items()}
        ends.append([float(value) for phase in model.phases() for value in phase.run(tensors, training=False).values()])
    assert ends[0][2:4] == pytest.approx(ends[1][2:4])  # label and reconstruction; the others draw


def test_content_of_cdaae_is_hard_in_inference_only():
    """Its code trains with probabilities and tests with the class alone; `MMSSIT` decodes the same code in both."""
    model, images = make_cdaae(), data(5)["images_a"]
    content, _ = model.encode(images, "a")
    probabilities = model.classify(images, "a")
    np.testing.assert_array_equal(content, np.eye(3)[probabilities.argmax(1)])
    assert probabilities.max() < 0.999
    ours = make()
    codes = ours.content_encoder_a.predict(images, verbose=0)["content"]
    np.testing.assert_array_equal(ours.encode(images, "a")[0], codes)


# === Inference ===


def test_translate():
    model, images = make(), data(5)["images_a"]
    images_b = model.translate(images, "a", "b", samples=3, seed=1)
    assert images_b.shape == (5, 3, 32, 32, 3) and np.abs(images_b).max() <= 1
    np.testing.assert_array_equal(images_b, model.translate(images, "a", "b", samples=3, seed=1))
    assert not np.allclose(images_b, model.translate(images, "a", "b", samples=3, seed=2))
    # Every image gets the same styles, and what decides is the content: that of an image alone is the same.
    np.testing.assert_allclose(images_b[2:3], model.translate(images[2:3], "a", "b", samples=3, seed=1), atol=1e-5)

    content, style = model.encode(images, "a")
    assert content.shape == (5, 12) and style.shape == (5, 4)
    reconstructed = model.translate(images, "a", "a", styles=style[:, None])[:, 0]
    expected = model.decoder_a.predict([content, style], verbose=0)
    np.testing.assert_allclose(reconstructed, expected, atol=1e-6)

    first, last = np.zeros(4), np.ones(4)
    between = model.interpolate(images, "b", "a", first, last, steps=4)
    assert between.shape == (5, 4, 32, 32, 3)
    ends = model.translate(images, "b", "a", styles=[first, last])
    np.testing.assert_allclose(between[:, [0, -1]], ends, atol=1e-6)


def test_classify():
    probabilities = make().classify(data(5)["images_b"], "b")
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_styles_of_the_prior_change_the_picture():
    images = make().translate(data(2)["images_a"], "a", "b", samples=2, seed=0)
    assert np.abs(images[:, 0] - images[:, 1]).max() > 1e-4


# === Bad input ===


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda d: d.pop("images_b"), "one dict of images_a"),
        (lambda d: d.update(images_b=d["images_b"][:4]), "the same length"),
        (lambda d: d.update(images_a=d["images_a"][:, :16]), "Images of a must be"),
        (lambda d: d.update(images_b=d["images_b"] * 9), r"Images of b must be in \[-1, 1\]"),
        (lambda d: d.update(labels_b=d["labels_b"] + 3), "labels_b must be -1 to 2"),
        (lambda d: d.update(labels_a=d["labels_a"] - 1), "labels_a must be -1 to 2"),
        (lambda d: d.update(labels_a=d["labels_a"] * 1.0), "labels_a must be integers"),
        (lambda d: d.update(labels_b=np.where(d["labels_b"] == 1, 0, d["labels_b"])), "labels_b has no class 1"),
    ],
)
def test_bad_data(change, words):
    model, batch = make(), data(8)
    model.compile()
    change(batch)
    before = values(model.variables)
    with pytest.raises(ValueError, match=words):
        model.fit(batch, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, values(model.variables), strict=True))


def test_data_that_are_no_dict():
    model = make()
    model.compile()
    with pytest.raises(ValueError, match="got ndarray"):
        model.fit(data(8)["images_a"], data(8)["labels_a"])


@pytest.mark.parametrize(
    "options, words",
    [
        ({"num_classes": 1}, "at least two"),
        ({"image_size": 48}, "one of 32, 64, 128"),
        ({"weights": "mine"}, "one of paper, cdaae"),
        ({"weights": {"pixels": 1}}, "weights of pixels"),
        ({"weights": {"label": (1, 2, 3)}}, "one for each domain"),
        ({"domain_loss": "max"}, "reversal"),
        ({"confidence": 2}, "confidence=2"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(ValueError, match=words):
        make(**options)


@pytest.mark.parametrize("call", [lambda m, x: m.encode(x, "c"), lambda m, x: m.translate(x, "a", "c")])
def test_unknown_domain(call):
    with pytest.raises(ValueError, match="domain 'c'"):
        call(make(), data(2)["images_a"])


def test_styles_of_another_length():
    with pytest.raises(ValueError, match=r"Styles must be \(samples, 4\)"):
        make().translate(data(2)["images_a"], styles=np.zeros((3, 5)))
