"""Makeup transfer. Equation and section numbers refer to Song, 2024."""

import dataclasses

import keras
import numpy as np
from keras import ops

from kgan import losses
from kgan.adversarial import AdversarialModel, Phase
from kgan.faces import PARTS
from kgan.faces.mesh import MEDIAPIPE, Layout, region
from kgan.faces.skin import part_map, part_shares
from kgan.models.conditional import check_images, check_range
from kgan.models.makeup import networks, uv
from kgan.models.makeup.illumination import LAYERS, check_masks, repaired
from kgan.training import predict

ROLES = ("source", "reference")
# Weights of the terms of the generator's loss, for colours in [-1, 1] and mean squares.
WEIGHTS = {
    "texture_adversarial": 1.0,
    "image_adversarial": 1.0,
    "cycle": 10.0,
    "perceptual": 3.0,
    "lips": 30.0,
    "eyes": 5.0,
    "skin": 0.1,
    "truth": 0.0,
}
MOST_MATCHED = 4096  # texels or pixels of a part whose histograms are matched in a step
BESIDE = 0.05  # share of the texels in images that may lie beside the face, at its border


@keras.saving.register_keras_serializable("kgan")
class MakeupGAN(AdversarialModel):
    """Makeup transfer between textures in UV space that repairs one-sided light (Song, 2024).

    The generator encodes both textures. Where the other side of a face is better lit, it mixes the features with those
    of the other side (eq. 4 and 5). From the reference it reads a scale and a shift, gamma and beta, and decodes the
    source with them. The loss has these terms (eq. 14):

    - `texture_adversarial`, `image_adversarial` (eq. 10 to 13): discriminators of textures and of rendered images.
    - `cycle` (eq. 9): removing the transferred makeup restores the source, and putting it back restores the reference.
    - `perceptual` (eq. 8): the features of a network stay those of the source. The mean square of their difference is
      divided by that of the features, so that the weight does not depend on the network.
    - `lips`, `eyes`, `skin` (eq. 6 and 7): the histograms of the reference's parts. The paper calls the last one face.
    - `truth`, which is not in the paper and has a weight of 0 by default: the absolute distance to `target_texture`,
      which only drawn faces have.

    Fit on the dict that `kgan.data.load_makeup` returns.

    The paper does not specify these choices:

    - All weights. The defaults are for colours in [-1, 1] and means over a part. They were chosen by the distance to
      the target of drawn faces; see the results page.
    - The makeup transfer module, which it only names. Here a convolution makes gamma and beta of the reference's
      features, and they scale and shift the source's normalised features in the middle of six residual blocks.

    These defaults depart from the paper:

    - The masks of light (`attention`), see `IlluminationClassifier`.
    - The output is added to the source, unless `output="tanh"`. Eyes, inner mouth and what is beside the face are never
      changed.
    - Only the difference between two textures is rendered, so that images lose no detail (eq. 3).
    - Histograms are matched in textures (`histogram`), where the parts of both faces are the same texels, and to the
      reference's colours in the source's light (`adaptation`).
    - The encoder and the decoder are told where lips, eyes and skin are, by three constant channels.

    Args:
        classifier: a trained `IlluminationClassifier` of the same size; calibrated, if `attention` asks for it. It is
            not trained.
        uv_size: height and width of textures, a multiple of 8, 32 or more.
        image_size: height and width of images, a multiple of 8, 32 or more.
        width: factor for the channels of all hidden layers, in (0, 4].
        attention: masks of eq. 4: `"calibrated"`, `"paper"`, `"asymmetry"` or `"half"`.
        layers: layers of the classifier that give masks, of 1, 2 and 3; `(2,)` is the ablation without several layers.
        repair: whose features are repaired, some of `"source"` and `"reference"`; `()` is the ablation without repair,
            in which the same features take the place of the repaired ones.
        output: `"residual"` or `"tanh"`.
        weights: dict from some of the terms to their weights, which replace the defaults. A term of weight 0 is not
            computed.
        histogram: where histograms are matched, `"texture"` or, as in the paper, `"image"`; the latter needs
            `source_parts` and `reference_parts`.
        histogram_reference: whether the histograms are those of the `"raw"` reference or of its `"repaired"` texture,
            which needs `"reference"` in `repair` and `histogram="texture"`.
        adaptation: how far the reference's colours are brought to the source's light and skin before eq. 6, in [0, 1]:
            they are multiplied by the mean colour of the source's skin over that of the reference's, to this power. 0
            is the paper's.
        norm: whether eq. 6 and 8 are Euclidean norms, as printed, and not mean squares. Norms are larger; adjust the
            weights.
        both_directions: whether histograms, perceptual loss and `texture_adversarial` also apply to removal, as in
            BeautyGAN. The discriminator of textures then has a second output.
        image_space: whether images take the place of textures: the baseline without UV space. Needs `repair=()` and
            `histogram="image"`.
        perceptual_network: `keras.Model` from pictures to features for eq. 8, such as
            `kgan.models.makeup.networks.build_vgg_features(size)`; None for the third block of the classifier.
        uv_layout: where the parts of the face lie in textures, `kgan.faces.mesh.Layout`; None for that of MediaPipe's
            mesh, which `kgan.data.load_makeup` has by default. The paper has PRNet's, see `kgan.makeup.PRNet`.

    Raises:
        ValueError: if an argument is out of range or the classifier does not fit. `fit` raises it if an array is
            missing, has another size, or is out of range.

    Example:

    ```python
    import kgan
    from kgan.makeup import IlluminationClassifier

    pairs = kgan.data.load_makeup("synthetic/faces", count=16)
    model = kgan.MakeupGAN(IlluminationClassifier(size=64), 64, 64, width=0.1, attention="asymmetry")
    model.compile()
    model.fit(pairs, batch_size=4, verbose=0)
    painted = model.transfer(pairs["source_texture"], pairs["reference_texture"], shade=0.5, parts=["lips"])
    ```
    """

    players = {
        "discriminator": ("texture_discriminator", "image_discriminator"),
        "generator": ("encoder", "fusion", "makeup_encoder", "decoder"),
    }
    logged = tuple(WEIGHTS)

    def __init__(
        self,
        classifier,
        uv_size=256,
        image_size=256,
        width=1.0,
        attention="calibrated",
        layers=LAYERS,
        repair=ROLES,
        output="residual",
        weights=None,
        histogram="texture",
        histogram_reference="raw",
        adaptation=0.5,
        norm=False,
        both_directions=False,
        image_space=False,
        perceptual_network=None,
        uv_layout=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.autocast = False  # in half precision too, what is not painted keeps its value
        for name, value in (("uv_size", uv_size), ("image_size", image_size)):
            if value < 32 or value % 8:
                raise ValueError(f"{name}={value}: pass a multiple of 8, 32 or more.")
        for name, value, allowed in (
            ("output", output, ("residual", "tanh")),
            ("histogram", histogram, ("texture", "image")),
            ("histogram_reference", histogram_reference, ("raw", "repaired")),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r}: pass {allowed[0]!r} or {allowed[1]!r}.")
        if not isinstance(uv_layout, Layout | None):
            raise ValueError(f"uv_layout={uv_layout!r}: pass a kgan.faces.mesh.Layout, such as prnet.mesh.layout.")
        if not 0 <= adaptation <= 1:
            raise ValueError(f"adaptation={adaptation}: pass a number in [0, 1].")
        if not set(repair) <= set(ROLES):
            raise ValueError(f"repair={repair!r}: pass some of 'source' and 'reference'.")
        if image_space and (repair or histogram != "image"):
            raise ValueError("image_space=True needs repair=() and histogram='image': images are not symmetric.")
        if histogram_reference == "repaired" and ("reference" not in repair or histogram == "image"):
            raise ValueError("histogram_reference='repaired' needs 'reference' in repair, and histogram='texture'.")
        if both_directions and histogram == "image":
            raise ValueError("both_directions=True needs histogram='texture': nothing is rendered onto references.")
        self.size = image_size if image_space else uv_size  # of the pictures that the generator takes
        if classifier.size != self.size:
            raise ValueError(f"The classifier takes textures of {classifier.size}, this model of {self.size}.")
        self._weight = _weights(weights, image_space)
        check_masks(attention, layers)
        self.classifier = classifier
        self.uv_size, self.image_size, self.width = uv_size, image_size, width
        self.attention, self.layers_of_masks, self.repair = attention, tuple(layers), tuple(repair)
        self.output_kind, self.given_weights = output, weights
        self.histogram, self.histogram_reference = histogram, histogram_reference
        self.adaptation, self.norm = adaptation, norm
        self.both_directions, self.image_space = both_directions, image_space
        self.perceptual_network = perceptual_network
        self.uv_layout = layout = uv_layout or MEDIAPIPE.layout

        self.encoder = networks.build_encoder(self.size, width, None if image_space else layout)
        self.fusion = networks.build_fusion(self.size, width, len(layers))
        self.makeup_encoder = networks.build_makeup_encoder(self.size, width)
        self.decoder = networks.build_decoder(self.size, width, None if image_space else layout)
        judge = networks.build_patch_discriminator
        if image_space:
            self.players = {**type(self).players, "discriminator": ("image_discriminator",)}
        else:
            self.texture_discriminator = judge(uv_size, width, 1 + both_directions, "texture_discriminator")
        self.image_discriminator = judge(image_size, width, 1, "image_discriminator")
        if image_space:
            self._painted = self._inside = np.ones((self.size, self.size, 1), "float32")
        else:
            self._painted, self._inside = (
                np.clip(sum(region(name, uv_size, layout) for name in names), 0, 1)[..., None]
                for names in (("face",), ("face", "eyes", "mouth"))
            )
        self._shares = self._painted * part_shares(self.size, layout)
        parts = part_map(uv_size, layout).ravel()
        self._texels = [np.flatnonzero(parts == number).astype("int32") for number in range(1, len(PARTS) + 1)]

    def get_config(self):
        return {
            **super().get_config(),
            "classifier": keras.saving.serialize_keras_object(self.classifier),
            "uv_size": self.uv_size,
            "image_size": self.image_size,
            "width": self.width,
            "attention": self.attention,
            "layers": self.layers_of_masks,
            "repair": self.repair,
            "output": self.output_kind,
            "weights": self.given_weights,
            "histogram": self.histogram,
            "histogram_reference": self.histogram_reference,
            "adaptation": self.adaptation,
            "norm": self.norm,
            "both_directions": self.both_directions,
            "image_space": self.image_space,
            "perceptual_network": self.perceptual_network
            and keras.saving.serialize_keras_object(self.perceptual_network),
            "uv_layout": dataclasses.asdict(self.uv_layout),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        names = "classifier", "perceptual_network"
        made = {name: config[name] and keras.saving.deserialize_keras_object(config[name]) for name in names}
        layout = config.get("uv_layout")  # models of earlier versions have none
        return cls(**{**config, **made, "uv_layout": layout and Layout.of(**layout)})

    def default_optimizers(self):
        return {player: keras.optimizers.Adam(1e-4, 0.5) for player in self.players}

    # === Data ===

    def check_batch(self, batch, labels=None):
        if labels is not None or not isinstance(batch, dict):
            raise ValueError("MakeupGAN takes the dict that kgan.data.load_makeup returns: call fit(pairs).")
        missing = [name for name in self.needed() if name not in batch]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing: pass the dict that kgan.data.load_makeup returns.")
        if self.repair and self.attention == "calibrated":
            self.classifier.check_calibrated()
        for role in ROLES:
            check_images(batch[f"{role}_image"], self.image_size, 3, f"{role}_image")
        if not self.image_space:
            for name in ("source_texture", "reference_texture", *["target_texture"] * bool(self._weight["truth"])):
                check_images(batch[name], self.uv_size, 3, name)
            pixels = self.image_size**2
            for name, shape in (
                ("source_index", (pixels, 4)),
                ("source_weight", (pixels, 4)),
                ("source_alpha", (self.image_size, self.image_size, 1)),
                *((f"{role}_visibility", (self.uv_size, self.uv_size, 1)) for role in ROLES),
            ):
                _check_shape(batch[name], shape, name)
            check_range(batch["source_index"], 0, self.uv_size**2 - 1, "source_index")
            if not np.issubdtype(np.asarray(batch["source_index"]).dtype, np.integer):
                raise ValueError("source_index must be integers: the numbers of texels.")
            for role in ROLES:
                check_range(batch[f"{role}_visibility"], 0, 1, f"{role}_visibility")
            self._check_layout(*(np.asarray(batch[f"source_{name}"]) for name in ("index", "weight", "alpha")))
        if self.histogram == "image":
            for role in ROLES:
                _check_shape(batch[f"{role}_parts"], (self.image_size, self.image_size), f"{role}_parts")

    def _check_layout(self, index, weight, alpha):
        """Raise a `ValueError` if pixels that are wholly face show texels that are no face in the model's layout."""
        nearest = np.take_along_axis(index, weight.argmax(axis=-1)[..., None], axis=-1)[..., 0]
        shown = nearest[alpha.reshape(nearest.shape) == 1]
        beside = np.mean(self._inside.ravel()[shown] == 0) if len(shown) else 0.0
        if beside > BESIDE:
            raise ValueError(
                f"{100 * beside:.0f} % of the texels in images are beside the face in this model's uv_layout, "
                f"{self.uv_layout.name!r}: the textures are in another layout."
            )

    def needed(self):
        """Return the names of the arrays that `fit` uses."""
        names = [f"{role}_image" for role in ROLES]
        if not self.image_space:
            names += [f"{role}_{kind}" for role in ROLES for kind in ("texture", "visibility")]
            names += ["source_index", "source_weight", "source_alpha"]
        names += [f"{role}_parts" for role in ROLES if self.histogram == "image"]
        return [*names, "target_texture"] if self._weight["truth"] else names

    # === The generator ===

    def _encode(self, pictures, training=False):
        """Return the repaired features of pictures in each role (eq. 4 and 5), and the mask of light or None."""
        features, mask, codes = self.encoder(pictures, training=training), None, {}
        for repairs in {role in self.repair for role in ROLES}:
            if repairs:
                masks = self.classifier.attention_masks(pictures, self.attention, self.layers_of_masks)
                masks = [ops.cast(ops.stop_gradient(each), "float32") for each in masks]
                mask = _mean_mask(masks, self.size)
                mixed = repaired(features, masks)
            else:
                mixed = ops.tile(features, (1, 1, 1, len(self.layers_of_masks)))
            codes[repairs] = self.fusion(mixed, training=training)
        return {role: codes[role in self.repair] for role in ROLES}, mask

    def _painted_on(self, pictures, features, makeup, training=False):
        """Decode features with makeup, onto the pictures that the features are of."""
        raw = self.decoder([features, makeup], training=training)
        change = 2 * ops.tanh(raw) if self.output_kind == "residual" else ops.tanh(raw) - pictures
        return pictures + ops.convert_to_tensor(self._painted) * change

    def _transferred(self, source, reference, training=False):
        code, _ = self._encode(source, training)
        makeup = self.makeup_encoder(self._encode(reference, training)[0]["reference"], training=training)
        return self._painted_on(source, code["source"], makeup, training)

    def call(self, inputs, training=False):
        """Map `(source, reference)` to the source with the reference's makeup (eq. 2)."""
        return self._transferred(*inputs, training=training)

    # === Training ===

    def phases(self):
        paint = Phase(self.paint, ("generator",))
        if not self._weight["texture_adversarial"] and not self._weight["image_adversarial"]:
            return [paint]  # nobody asks the discriminators
        return [Phase(self.judge, ("discriminator",)), paint]

    def judge(self, batch, training):
        """The losses of the discriminators (eq. 10, 12 and 15)."""
        source, reference = self._pictures(batch)
        made_up = ops.stop_gradient(self._transferred(source, reference, training))
        loss = losses.least_squares_discriminator_loss(
            self.image_discriminator(batch["reference_image"], training=training),
            self.image_discriminator(self._rendered(made_up, batch), training=training),
        )
        if not self.image_space:
            pairs = [(reference, "reference", made_up, "source")]
            if self.both_directions:
                bare = ops.stop_gradient(self._transferred(reference, source, training))
                pairs.append((source, "source", bare, "reference"))
            for output, (real, real_role, fake, fake_role) in enumerate(pairs):
                scores = (
                    self._texture_scores(x, role, batch, output, training)
                    for x, role in ((real, real_role), (fake, fake_role))
                )
                loss += losses.least_squares_discriminator_loss(*scores)
        return {"discriminator": loss}

    def paint(self, batch, training):
        """The loss of the generator (eq. 14)."""
        source, reference = self._pictures(batch)
        (of_source, source_mask), (of_reference, reference_mask) = (
            self._encode(x, training) for x in (source, reference)
        )
        makeup, none = (self.makeup_encoder(code["reference"], training=training) for code in (of_reference, of_source))
        made_up = self._painted_on(source, of_source["source"], makeup, training)
        found = {}
        if self._weight["image_adversarial"]:
            scores = self.image_discriminator(self._rendered(made_up, batch), training=training)
            found["image_adversarial"] = losses.least_squares_generator_loss(scores)
        if self._weight["truth"]:
            found["truth"] = self._distance_to_truth(made_up, batch["target_texture"])
        directions = [(made_up, source, "source", "reference", reference_mask)]
        if self._weight["cycle"] or self.both_directions:
            bare = self._painted_on(reference, of_reference["source"], none, training)
            if self._weight["cycle"]:
                back = [
                    self._painted_on(x, self._encode(x, training)[0]["source"], code, training)
                    for x, code in ((made_up, none), (bare, makeup))
                ]
                found["cycle"] = sum(map(losses.reconstruction_error, (source, reference), back))
            if self.both_directions:
                directions.append((bare, reference, "reference", "source", source_mask))
        for output, (fake, before, role, other, mask) in enumerate(directions):
            terms = {}
            if self._weight["texture_adversarial"]:
                scores = self._texture_scores(fake, role, batch, output, training)
                terms["texture_adversarial"] = losses.least_squares_generator_loss(scores)
            if self._weight["perceptual"]:
                terms["perceptual"] = self._perceptual_loss(before, fake)
            terms |= self._histogram_losses(fake, role, other, mask, batch)
            for name, value in terms.items():
                found[name] = found.get(name, 0.0) + value
        total = sum(self._weight[name] * value for name, value in found.items())
        zero = ops.zeros((), "float32")
        return {"generator": total, **{name: found.get(name, zero) for name in self.logged}}

    def _pictures(self, batch):
        kind = "image" if self.image_space else "texture"
        return batch[f"source_{kind}"], batch[f"reference_{kind}"]

    def _rendered(self, pictures, batch):
        """Return the images of what the generator made of sources (eq. 3), of which it renders the difference alone."""
        if self.image_space:
            return pictures
        table = (batch[f"source_{name}"] for name in ("index", "weight", "alpha"))
        change = uv.render(pictures - batch["source_texture"], *table, ops.zeros_like(batch["source_image"]))
        return batch["source_image"] + change

    def _texture_scores(self, textures, role, batch, output, training):
        seen = textures * ops.convert_to_tensor(self._inside) * batch[f"{role}_visibility"]
        return self.texture_discriminator(seen, training=training)[..., output]

    def _perceptual_loss(self, before, after):
        if self.perceptual_network is None:
            one, other = (self.classifier.features(x)[-1] for x in (before, after))
        else:
            one, other = (self.perceptual_network(x, training=False) for x in (before, after))
        one, other = ops.cast(ops.stop_gradient(one), "float32"), ops.cast(other, "float32")
        if self.norm:
            return losses.reconstruction_norm(one, other)
        return ops.mean(ops.square(one - other)) / (ops.mean(ops.square(one)) + 1e-6)

    def _distance_to_truth(self, made_up, target):
        """Return the absolute distance in each part, averaged over the parts, so that lips count as much as skin.

        The part of the skin is the rest of the face, brows and rims included, of which histograms are not taken.
        """
        apart = ops.mean(ops.abs(target - made_up), axis=(0, -1))[..., None]
        shares = ops.convert_to_tensor(self._shares)
        return ops.mean(ops.sum(apart * shares, axis=(0, 1)) / ops.sum(shares, axis=(0, 1)))

    def _histogram_losses(self, fake, role, other, mask, batch):
        """Return eq. 6 of each part: a fake on the face of one role gets the histograms of the face in the other."""
        if not any(self._weight[part] for part in PARTS):
            return {}
        kind = "image" if self.histogram == "image" else "texture"
        before, reference = batch[f"{role}_{kind}"], batch[f"{other}_{kind}"]
        if kind == "image":
            fake = self._rendered(fake, batch)
        elif self.histogram_reference == "repaired":
            mask = mask * ops.flip(batch[f"{other}_visibility"], axis=2)  # nothing is taken from what hair hides
            reference = (1 - mask) * reference + mask * ops.flip(reference, axis=2)

        painted, before, reference = _flat(fake), _flat(before), _flat(reference)
        if kind == "image":
            maps = [_flat(batch[f"{each}_parts"][..., None])[..., 0] for each in (role, other)]
        else:
            maps = [_flat(batch[f"{each}_visibility"])[..., 0] > 0.5 for each in (role, other)]

        def part_of(colours, side, number):
            """Return the colours of a part on the face of the role (side 0) or the other (1), and which are seen."""
            if kind == "image":
                return colours, maps[side] == number + 1
            texels = self._texels[number]
            some = texels[:: -(-len(texels) // MOST_MATCHED)]
            return (ops.take(x, some, axis=1) for x in (colours, maps[side]))

        skin = PARTS.index("skin")
        (own, shown), (their, also) = (
            _mean_light(*part_of(x, side, skin)) for side, x in enumerate((before, reference))
        )
        ratio = ops.where(shown & also, own / their, 1.0)  # of a face whose skin nobody sees, the light is unknown
        reference = (reference + 1) * ratio**self.adaptation - 1
        found = {}
        for number, part in enumerate(PARTS):
            if self._weight[part]:
                own, seen = self._some(*part_of(painted, 0, number))
                like, like_seen = self._some(*part_of(reference, 1, number))
                found[part] = losses.histogram_loss(own, like, seen, like_seen, norm=self.norm)
        return found

    def _some(self, colours, seen):
        """Return what is seen, or a random sample if it is much: sorting all of it would take most of a step."""
        if colours.shape[1] <= MOST_MATCHED:
            return colours, seen
        order = ops.where(seen, 1 + keras.random.uniform(ops.shape(seen), seed=self.seed_generator), 0.0)
        some = ops.top_k(order, MOST_MATCHED)[1]
        return ops.take_along_axis(colours, some[..., None], axis=1), ops.take_along_axis(seen, some, axis=1)

    # === Inference ===

    def transfer(self, source, reference, shade=1.0, parts=None):
        """Put the makeup of references onto sources.

        Args:
            source, reference: `(n, uv_size, uv_size, 3)` in [-1, 1].
            shade: how much of the makeup, in [0, 1]. At 0 the sources are returned as they are.
            parts: names of the parts to make up, of `"lips"`, `"eyes"` and `"skin"`, or a dict from names to how much
                of each, in [0, 1]. Default: all.

        Returns:
            float32 array `(n, uv_size, uv_size, 3)` in [-1, 1].

        Raises:
            ValueError: if textures have a wrong size or range, or an argument is out of range.
        """
        source, reference = self._accepted(source=source, reference=reference)
        share = self._share(shade, parts)
        painted = predict(self, (source, reference), batch_size=64)
        return np.clip(source + share * (painted - source), -1, 1)

    def remove(self, made_up, bare, shade=1.0, parts=None):
        """Take makeup off, as the second direction of eq. 9 does: faces become like `bare` ones, which wear none.

        Args:
            made_up, bare: `(n, uv_size, uv_size, 3)` in [-1, 1].
            shade, parts: as in `transfer`.

        Returns:
            float32 array `(n, uv_size, uv_size, 3)` in [-1, 1].

        Raises:
            ValueError: as in `transfer`.
        """
        return self.transfer(made_up, bare, shade, parts)

    def interpolate(self, source, first, last, steps=5):
        """Put makeup on that changes from one reference's to another's.

        Args:
            source, first, last: `(n, uv_size, uv_size, 3)` in [-1, 1].
            steps: number of pictures including both ends, 2 or more.

        Returns:
            float32 array `(n, steps, uv_size, uv_size, 3)` in [-1, 1].

        Raises:
            ValueError: as in `transfer`, or if `steps` is less than 2.
        """
        if steps < 2:
            raise ValueError(f"steps={steps}: pass 2 or more; both ends count.")
        source, first, last = map(ops.convert_to_tensor, self._accepted(source=source, first=first, last=last))
        features = self._encode(source)[0]["source"]
        ends = [self.makeup_encoder(self._encode(x)[0]["reference"]) for x in (first, last)]
        shown = [
            self._painted_on(source, features, ends[0] + share * (ends[1] - ends[0]))
            for share in np.linspace(0, 1, steps).tolist()
        ]
        return np.clip(ops.convert_to_numpy(ops.stop_gradient(ops.stack(shown, axis=1))), -1, 1)

    def _accepted(self, **textures):
        if self.repair and self.attention == "calibrated":
            self.classifier.check_calibrated()
        textures = {name: np.asarray(value, "float32") for name, value in textures.items()}
        for name, value in textures.items():
            check_images(value, self.size, 3, f"{name} textures")
        if len(set(map(len, textures.values()))) > 1:
            counts = ", ".join(f"{len(value)} {name}" for name, value in textures.items())
            raise ValueError(f"There are {counts} textures: pass as many of each.")
        return textures.values()

    def _share(self, shade, parts):
        """Return how much of the makeup each texel gets, `(size, size, 1)`."""
        strengths = PARTS if parts is None else [parts] if isinstance(parts, str) else parts
        strengths = strengths if isinstance(strengths, dict) else dict.fromkeys(strengths, 1.0)
        if unknown := set(strengths) - set(PARTS):
            raise ValueError(f"parts={sorted(unknown)}: pass only {', '.join(PARTS)}.")
        if not all(0 <= value <= 1 for value in (shade, *strengths.values())):
            raise ValueError(f"shade={shade}, parts={parts}: pass numbers in [0, 1].")
        if self.image_space and parts is not None:
            raise ValueError("A model in image space does not know where the parts are: pass parts=None.")
        if self.image_space:
            return np.float32(shade)
        strengths = np.array([[strengths.get(part, 0)] for part in PARTS], "float32")
        return shade * part_shares(self.size, self.uv_layout) @ strengths


def _weights(given, image_space):
    given = dict(given or {})
    if unknown := set(given) - set(WEIGHTS):
        raise ValueError(f"weights of {', '.join(sorted(unknown))}: pass only {', '.join(WEIGHTS)}.")
    if low := [name for name, value in given.items() if not 0 <= value < float("inf")]:
        raise ValueError(f"weights[{low[0]!r}]={given[low[0]]}: pass a finite number of at least 0.")
    weights = {**WEIGHTS, **given}
    if image_space:
        if weights["truth"]:
            raise ValueError("The truth is a texture: pass it a weight of 0 in image space.")
        if given.get("texture_adversarial"):
            raise ValueError("There are no textures in image space: pass texture_adversarial a weight of 0.")
        weights["texture_adversarial"] = 0.0
    if not any(weights.values()):
        raise ValueError("All weights are 0: there is nothing to learn.")
    return weights


def _check_shape(array, shape, name):
    if tuple(array.shape[1:]) != shape:
        raise ValueError(f"{name} must be (batch, {', '.join(map(str, shape))}), got {tuple(array.shape)}.")


def _mean_mask(masks, size):
    masks = [ops.image.resize(mask, (size, size), data_format="channels_last") for mask in masks]
    return sum(masks) / len(masks)


def _mean_light(colours, seen):
    """Return the mean of colours in [-1, 1], as light from 0, over what is seen, `(batch, 1, 3)`, and if any is."""
    seen = ops.cast(seen, "float32")[..., None]
    count = ops.sum(seen, axis=1, keepdims=True)
    light = ops.sum((colours + 1) * seen, axis=1, keepdims=True)
    return ops.maximum(light / ops.maximum(count, 1), 0.05), count > 0


def _flat(pictures):
    return ops.reshape(pictures, (ops.shape(pictures)[0], -1, pictures.shape[-1]))
