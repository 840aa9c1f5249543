"""The classes of made tissue, and the numbers they are drawn from.

Calibres, spacings and lengths follow cortical neuropil in kind (thin axons with boutons, tapering spiny
dendrites, ragged glia) but are shrunk and thickened to fit blocks of about 15 um at 64 nm; none of them is
a measurement. Spreads between cells are wide on purpose, so that classes overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CELL_TYPES",
    "COMPARTMENTS",
    "NEURONS",
    "PROCESSES",
    "SOMATA",
    "TEXTURES",
    "Process",
    "Soma",
    "Texture",
]

COMPARTMENTS = {"none": 0, "soma": 1, "dendrite": 2, "axon": 3, "glia": 4}
COMPARTMENT_NAMES = {value: name for name, value in COMPARTMENTS.items()}
CELL_TYPES = ("excitatory", "inhibitory", "astrocyte", "oligodendrocyte", "opc", "microglia")
NEURONS = ("excitatory", "inhibitory")


@dataclass(frozen=True)
class Soma:
    """A cell body: an ellipsoid with a nucleus.

    Attributes:
        radius_nm: mean radius.
        elongation: largest ratio of an axis to the mean radius.
        nucleus: radius of the nucleus as a share of the soma's.
        chromatin: darkness of the clumps in the nucleus, 0 (pale) to 1.
        stems: fewest and most processes that leave it.
    """

    radius_nm: float
    elongation: float
    nucleus: float
    chromatin: float
    stems: tuple[int, int]


@dataclass(frozen=True)
class Process:
    """How one kind of process of one cell type grows.

    Attributes:
        radius_nm: median radius at the start.
        radius_spread: standard deviation of the log radius between processes.
        wander: standard deviation of the change of direction at a step.
        branches_per_um: mean number of branch points.
        length_um: longest path of a process.
        taper_um: path over which the radius falls to 1/e; 0 = none.
        beads: (spacing nm, swelling as a share of the radius): boutons of axons, beads of dendrites.
        ragged: how much the surface departs from a tube.
        spines_per_um: spines; for dendrites.
        mitochondria: share of the length with a mitochondrion.
    """

    radius_nm: float
    radius_spread: float
    wander: float
    branches_per_um: float
    length_um: float
    taper_um: float = 0.0
    beads: tuple[float, float] = (3000.0, 0.0)
    ragged: float = 0.12
    spines_per_um: float = 0.0
    mitochondria: float = 0.2


@dataclass(frozen=True)
class Texture:
    """Mean ultrastructure of a kind of cytoplasm: amplitudes in grey levels.

    Attributes:
        streaks: microtubules, lines along the process about 350 nm apart.
        blotches: endoplasmic reticulum, about 150 nm across.
        clouds: pale and dense regions, about 400 nm across.
        grain: ribosomes, single voxels.
        granules: glycogen, sparse dark dots of one or two voxels.
        bodies: dense bodies (lysosomes, lipofuscin) per um of process.
    """

    streaks: float
    blotches: float
    clouds: float
    grain: float
    granules: float
    bodies: float

    @property
    def amplitudes(self) -> tuple[float, float, float, float, float]:
        """The five amplitudes, in the order of the fields."""
        return (self.streaks, self.blotches, self.clouds, self.grain, self.granules)


SOMATA = {
    "excitatory": Soma(2050.0, 1.15, 0.68, 0.25, (4, 6)),
    "inhibitory": Soma(1900.0, 1.2, 0.62, 0.45, (3, 5)),
    "astrocyte": Soma(1850.0, 1.2, 0.70, 0.30, (6, 9)),
    "oligodendrocyte": Soma(1700.0, 1.1, 0.70, 0.85, (4, 6)),
    "opc": Soma(1700.0, 1.25, 0.74, 0.50, (5, 7)),
    "microglia": Soma(1550.0, 1.4, 0.72, 0.95, (3, 6)),
}

PROCESSES = {
    ("excitatory", "dendrite"): Process(400, 0.38, 0.12, 0.05, 14, 24, (2500, 0.08), 0.12, 1.1, 0.5),
    ("inhibitory", "dendrite"): Process(370, 0.38, 0.14, 0.04, 14, 28, (1700, 0.28), 0.12, 0.06, 0.6),
    ("excitatory", "axon"): Process(250, 0.32, 0.13, 0.02, 22, 0, (2800, 0.75), 0.10, 0.0, 0.25),
    ("inhibitory", "axon"): Process(275, 0.32, 0.20, 0.035, 22, 0, (2300, 0.85), 0.12, 0.0, 0.36),
    ("astrocyte", "glia"): Process(360, 0.35, 0.30, 0.13, 10, 18, (1500, 0.25), 0.34, 0.0, 0.14),
    ("oligodendrocyte", "glia"): Process(310, 0.30, 0.13, 0.05, 11, 24, (2600, 0.12), 0.14, 0.0, 0.12),
    ("opc", "glia"): Process(320, 0.32, 0.22, 0.08, 10, 22, (2000, 0.22), 0.20, 0.0, 0.18),
    ("microglia", "glia"): Process(330, 0.38, 0.34, 0.09, 9, 20, (1400, 0.35), 0.26, 0.0, 0.20),
}

TEXTURES = {
    ("excitatory", "soma"): Texture(0, 13, 3, 8, 2, 0.10),
    ("inhibitory", "soma"): Texture(0, 9, 3, 15, 2, 0.10),
    ("astrocyte", "soma"): Texture(0, 5, 9, 4, 13, 0.05),
    ("oligodendrocyte", "soma"): Texture(0, 15, 2, 9, 2, 0.10),
    ("opc", "soma"): Texture(0, 4, 15, 4, 2, 0.05),
    ("microglia", "soma"): Texture(0, 18, 5, 4, 3, 0.60),
    ("excitatory", "dendrite"): Texture(17, 5, 2, 5, 2, 0.03),
    ("inhibitory", "dendrite"): Texture(13, 4, 2, 14, 2, 0.03),
    ("excitatory", "axon"): Texture(5, 4, 2, 7, 2, 0.01),
    ("inhibitory", "axon"): Texture(5, 10, 3, 5, 2, 0.01),
    ("astrocyte", "glia"): Texture(2, 4, 9, 4, 17, 0.02),
    ("oligodendrocyte", "glia"): Texture(10, 14, 2, 7, 2, 0.03),
    ("opc", "glia"): Texture(3, 4, 17, 4, 2, 0.03),
    ("microglia", "glia"): Texture(2, 19, 6, 4, 3, 0.25),
}
