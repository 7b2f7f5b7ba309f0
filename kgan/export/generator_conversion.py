"""Convert a Keras generator to SavedModel and LiteRT files. This module runs in a separate TensorFlow process."""

import json
import sys
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

import kgan
from kgan import presets
from kgan.export.converter import answer, convert, load
from kgan.export.generator import MODELS
from kgan.export.generator_parity import by_litert, compare_all, refuse_changes, rows, table
from kgan.export.litert import operators, shrink
from kgan.filter import model_file
from kgan.models.conditional import ClassConditional, check_range
from kgan.models.gan import GAN
from kgan.models.mm_ssit.model import DOMAINS, DomainTranslator
from kgan.plots import labelled_rows, save_image, to_pixels

IMAGES = 200  # number of images on which a file is compared with Keras, if there are not more classes


class Signature(NamedTuple):
    """What a file can be asked for.

    Args:
        call: function of tensors that returns a dict with the output.
        networks: the Keras models that it runs.
        inputs: `{name: array}` of the rows to compare; shapes and dtypes are those of the signature.
        truth: what Keras answers, by the model's public methods.
    """

    call: callable
    networks: tuple
    inputs: dict
    truth: np.ndarray


def export(folder, request):
    for name in MODELS:
        getattr(kgan, name)  # its module registers it for Keras
    path = request["model"]
    model = load(path) if path.endswith(".keras") else presets.load(path)
    signatures = signatures_of(model, request["card"])
    inputs = {name: signature.inputs for name, signature in signatures.items()}

    result = folder / "result"
    saved = result / f"{request['name']}-saved_model"
    save(signatures, saved, None)
    save(signatures, folder / "one", 1)
    outputs = {"Keras": {name: signature.truth for name, signature in signatures.items()}}
    compared = compare_all(by_saved_model(saved, inputs), outputs["Keras"])
    files = {"saved_model": {"name": saved.name, "signatures": compared}}
    for kind in request["quantisation"]:
        lite = shrink(convert(folder / "one", kind, list(signatures)))
        path = result / f"{request['name']}-{kind}.tflite"
        model_file.append(path, lite, {**metadata(model, signatures), **request["card"], "precision_dtype": kind})
        outputs[kind], milliseconds = by_litert(lite, inputs)
        used = operators(lite)
        files[kind] = {
            "name": path.name,
            "bytes": path.stat().st_size,
            "signatures": {
                name: {**found, "milliseconds": milliseconds[name], "operators": used[name]}
                for name, found in compare_all(outputs[kind], outputs["Keras"]).items()
            },
        }

    count = len(next(iter(signatures.values())).truth)
    report = {"model": type(model).__name__, "images": count, "files": files}
    refuse_changes(report, request["max_changed"])
    (result / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (result / "report.md").write_text(table(report))
    save_image(result / "parity.png", labelled_rows(rows(outputs)))


def metadata(model, signatures):
    """Return what an app has to know of the model: its class and what its signatures take and give."""
    shapes = {
        name: {
            "inputs": {key: [1, *array.shape[1:]] for key, array in found.inputs.items()},
            "output": [1, *found.truth.shape[1:]],
        }
        for name, found in signatures.items()
    }
    return {"model": type(model).__name__, "signatures": shapes}


def save(signatures, folder, batch):
    """Write a SavedModel whose signatures take `batch` rows, or any number if that is None."""
    archive = keras.export.ExportArchive()
    for name, signature in signatures.items():
        for network in signature.networks:
            archive.track(network)
        specs = [tf.TensorSpec((batch, *a.shape[1:]), a.dtype, name=key) for key, a in signature.inputs.items()]
        archive.add_endpoint(name, signature.call, specs)
    archive.write_out(folder, verbose=False)


def by_saved_model(folder, inputs):
    """Return `{signature: its output}`; `inputs` are as of `by_litert`."""
    calls = tf.saved_model.load(str(folder)).signatures
    found = {}
    for name, arrays in inputs.items():
        parts = range(0, len(next(iter(arrays.values()))), 16)
        outputs = [calls[name](**{k: tf.constant(a[i : i + 16]) for k, a in arrays.items()}) for i in parts]
        found[name] = np.concatenate([next(iter(output.values())).numpy() for output in outputs])
    return found


# === Signatures ===


def signatures_of(model, card):
    """Return `{name: Signature}` of a model, and put the names of its classes into its card."""
    if isinstance(model, ClassConditional):
        numbers = [str(number) for number in range(model.num_classes)]
        names = card.setdefault("class_names", model.class_names or numbers)
        if not isinstance(names, list) or len(names) != model.num_classes or {*map(type, names)} != {str}:
            raise ValueError(f"class_names={names!r}: pass {model.num_classes} texts, one for each class")
        return {"generate": of_classes(model)}
    if "class_names" in card:
        raise ValueError(f"class_names: a {type(model).__name__} is not asked for classes, leave them out")
    if isinstance(model, GAN):
        return {"generate": of_latents(model)}
    if isinstance(model, DomainTranslator):
        return translations(model)
    raise ValueError(f"the file holds a {type(model).__name__}: pass one of {', '.join(MODELS)}")


def of_classes(model):
    count = max(IMAGES, model.num_classes)
    labels = np.arange(count) % model.num_classes
    inputs = {"latents": normal(count, model.latent_dim), "labels": np.eye(model.num_classes, dtype="float32")[labels]}

    def generate(latents, labels):
        return {"images": pixels(model.call([latents, labels]))}

    return Signature(generate, (model.generator,), inputs, grey(model.generate(labels, inputs["latents"])))


def of_latents(model):
    shape = model.generator.output_shape
    if len(shape) != 4 or shape[-1] not in (1, 3):
        raise ValueError(f"the generator's samples are {shape}: pass one of images (None, height, width, 1 or 3)")
    for layer in model.generator._flatten_layers():
        layer.dtype_policy = "float32"  # its config may ask for half precision
    inputs = {"latents": normal(IMAGES, model.latent_dim)}
    samples = model.generator.predict(inputs["latents"], verbose=0)
    check_range(samples, -1, 1, "Samples of the generator")

    def generate(latents):
        return {"images": pixels(model.call(latents))}

    return Signature(generate, (model.generator,), inputs, grey(samples))


def translations(model):
    """Return the signatures of both directions and both styles, compared on pictures that the model makes itself."""
    # Blotches, translated into a domain, are the likest to its images that are at hand.
    side = model.image_size // 4
    blotches = np.random.default_rng(0).uniform(-1, 1, (IMAGES, 4, 4, 3)).repeat(side, 1).repeat(side, 2)
    styles = normal(IMAGES, model.style_dim)
    found = {}
    for source, target in (DOMAINS, DOMAINS[::-1]):
        images = grey(model.translate(blotches, target, source, styles=styles[::-1, None])[:, 0])
        found[f"{source}_to_{target}"] = translation(model, source, target, images, styles)
        found[f"style_of_{source}"] = style(model, source, images)
    return found


def translation(model, source, target, images, styles):
    encoder, decoder = model._part("content_encoder", source), model._part("decoder", target)

    def translate(images, styles):
        return {"images": pixels(decoder([model.code(encoder(values(images))["content"]), styles]))}

    truth = model.translate(values(images), source, target, styles=styles[:, None])[:, 0]
    networks = (encoder, model.category_classifier, decoder)
    return Signature(translate, networks, {"images": images, "styles": styles}, grey(truth))


def style(model, domain, images):
    encoder, style_encoder = model._part("content_encoder", domain), model._part("style_encoder", domain)

    def style_of(images):
        return {"styles": style_encoder(encoder(values(images))["stem"])}

    return Signature(style_of, (encoder, style_encoder), {"images": images}, model.encode(values(images), domain)[1])


def normal(*shape):
    return np.random.default_rng(1).standard_normal(shape, "float32")


def grey(images):
    """Return images in [-1, 1] as uint8, with as many channels."""
    return np.ascontiguousarray(to_pixels(images)[..., : images.shape[-1]])


def pixels(images):
    """Return the same of a tensor."""
    return tf.cast(tf.round((tf.clip_by_value(images, -1.0, 1.0) + 1.0) * 127.5), tf.uint8)


def values(images):
    """Return uint8 images, an array or a tensor, as float32 in [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


if __name__ == "__main__":
    sys.exit(answer(sys.argv[1], export))
