"""The parameters of the twelve species that `painter` draws."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass
class Species:
    """The appearance of a species; lengths are fractions of the longest petal, colours are RGB in [0, 1]."""

    name: str
    petals: int
    colour: tuple
    width: float  # half the width of a petal where it is widest
    widest: float  # distance from the base, in [0, 1], at which a petal is widest
    tip: float = 0.5  # 0.3 is blunt, 0.5 round, 1 and above pointed
    notch: float = 0.0  # depth of the notch in the tip
    teeth: float = 0.0  # depth of the teeth along the tip
    rings: int = 1
    step: float = 0.2  # how much shorter each ring is than the one behind it
    scale: float = 1.0
    tip_colour: tuple | None = None
    throat: float = 0.0  # extent of the throat's colour from the base
    throat_colour: tuple = (0, 0, 0)
    stripe: float = 0.0  # strength of the stripe along each petal
    stripe_colour: tuple = (0, 0, 0)
    edge: float = 0.0  # width of the petals' coloured edge
    edge_colour: tuple = (0, 0, 0)
    spots: float = 0.0  # strength of the spots on the inner half
    centre: float = 0.15  # radius
    centre_colour: tuple = (0.95, 0.75, 0.1)
    seeds: float = 0.0  # contrast of the centre's texture
    rim: float = 0.0  # depth of the frills; above 0, the centre is a cup
    stamens: int = 0
    stamen_colour: tuple = (0.95, 0.8, 0.2)

    def __post_init__(self):
        self.tip_colour = self.tip_colour or self.colour


SPECIES = [
    Species("daisy", 17, (0.97, 0.97, 0.95), 0.11, 0.72, 0.35, throat=0.3, throat_colour=(0.8, 0.85, 0.7),
            centre=0.27, centre_colour=(0.98, 0.78, 0.08), seeds=0.35),
    Species("sunflower", 21, (0.99, 0.72, 0.05), 0.12, 0.5, 0.9, rings=2, step=0.1, tip_colour=(1.0, 0.85, 0.15),
            centre=0.48, centre_colour=(0.3, 0.17, 0.07), seeds=0.6, scale=1.1),
    Species("poppy", 4, (0.9, 0.1, 0.06), 0.78, 0.72, 0.35, teeth=0.03, throat=0.36, throat_colour=(0.1, 0.03, 0.08),
            centre=0.13, centre_colour=(0.45, 0.55, 0.25), seeds=0.3, stamens=22, stamen_colour=(0.08, 0.05, 0.1)),
    Species("rose", 5, (0.75, 0.05, 0.2), 0.7, 0.62, 0.35, rings=5, step=0.19, tip_colour=(0.95, 0.35, 0.45),
            centre=0.09, centre_colour=(0.5, 0.02, 0.1)),
    Species("lily", 6, (0.98, 0.62, 0.3), 0.22, 0.45, 0.9, tip_colour=(0.98, 0.5, 0.15), stripe=0.6,
            stripe_colour=(0.98, 0.85, 0.4), spots=0.9, centre=0.07, centre_colour=(0.7, 0.8, 0.2), stamens=6,
            stamen_colour=(0.45, 0.15, 0.05), scale=1.15),
    Species("pansy", 5, (0.42, 0.16, 0.65), 0.56, 0.64, 0.45, throat=0.45, throat_colour=(0.12, 0.03, 0.2),
            edge=0.16, edge_colour=(0.82, 0.7, 0.95), centre=0.17, centre_colour=(0.98, 0.8, 0.1)),
    Species("cherry blossom", 5, (0.98, 0.74, 0.82), 0.44, 0.66, 0.4, notch=0.22, tip_colour=(1.0, 0.87, 0.92),
            throat=0.25, throat_colour=(0.85, 0.25, 0.45), centre=0.06, centre_colour=(0.75, 0.75, 0.3), stamens=13,
            stamen_colour=(0.85, 0.35, 0.45), scale=0.95),
    Species("cornflower", 10, (0.2, 0.32, 0.9), 0.24, 0.85, 0.25, teeth=0.2, tip_colour=(0.35, 0.5, 1.0),
            centre=0.3, centre_colour=(0.35, 0.1, 0.5), seeds=0.7),
    Species("daffodil", 6, (0.99, 0.93, 0.55), 0.36, 0.5, 0.75, centre=0.36, centre_colour=(0.98, 0.55, 0.08),
            rim=0.09),
    Species("forget-me-not", 5, (0.45, 0.68, 0.97), 0.5, 0.62, 0.45, throat=0.28, throat_colour=(0.98, 0.98, 0.98),
            centre=0.16, centre_colour=(0.98, 0.8, 0.15), scale=0.8),
    Species("dahlia", 12, (0.62, 0.05, 0.45), 0.2, 0.55, 0.8, rings=5, step=0.18, tip_colour=(0.95, 0.4, 0.75),
            centre=0.1, centre_colour=(0.45, 0.02, 0.3)),
    Species("gazania", 13, (0.98, 0.98, 0.9), 0.16, 0.6, 0.65, stripe=1.0, stripe_colour=(0.8, 0.1, 0.15),
            throat=0.42, throat_colour=(0.12, 0.1, 0.08), centre=0.24, centre_colour=(0.98, 0.65, 0.05), seeds=0.4),
]  # fmt: skip
CLASS_NAMES = [species.name for species in SPECIES]
# One float32 array per property, indexed by label.
TABLE = {
    field.name: np.array([getattr(species, field.name) for species in SPECIES], "float32")
    for field in fields(Species)
    if field.name != "name"
}
