"""What is known of a term's shape, as tests have measured it: it decides for which problem a term is shown.

All of it holds at the term's defaults. Properties are those of the loss as a function of what the model puts out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from losssearch.errors import SpecError

ENDS: Mapping[str, str] = MappingProxyType(
    {
        "probabilities": "the share of each class",
        "prior-adjusted probabilities": "the share of each class, raised where the class is rare",
        "cost-weighted probabilities": "the share of each class times the cost of missing it",
        "smoothed probabilities": "the share of each class, pulled toward equal ones",
        "denoised probabilities": "the share of each class less a uniform share of wrong labels",
        "sharpened probabilities": "the most frequent class, with more than its share",
        "most frequent class": "certainty of the most frequent class",
        "separation": "outputs that separate the classes of the samples",
        "agreement": "confidence that equals the share of right answers",
        "certainty": "certainty of one class, whatever the labels are",
        "independence": "columns that do not vary together",
        "mean": "the mean",
        "median": "the median",
        "quantile": "the quantile of its level",
        "expectile": "the expectile of its asymmetry",
        "centre": "the centre of targets that are symmetric about one",
        "log mean": "the mean on a logarithmic scale",
        "weighted median": "the median of targets that count less the larger they are",
        "beyond the target": "further from the bulk of the targets than the target is",
    }
)
"""Where gradient descent on free outputs may end, and how it is put."""

PROBLEMS: Mapping[str, str] = MappingProxyType(
    {
        "imbalance": "classes, or ranges of the target, of unequal size",
        "outliers": "targets that are grossly wrong, or have heavy tails",
        "label-noise": "labels that are partly wrong",
        "miscalibration": "probabilities that do not say how often the model is right",
        "costs": "errors whose costs differ",
        "censoring": "targets of which only a bound is known",
        "ties": "samples that share one place in the order",
    }
)
"""The problems that a term may address."""


@dataclass(frozen=True)
class Traits:
    """What is known of a term, each measured by a test over the registry.

    Args:
        argmin: where gradient descent on free outputs ends, one of `ENDS`; empty where nobody said.
        problems: what it is made for, of `PROBLEMS`.
        convex: whether the loss of a batch is convex in the outputs.
        smooth: whether its gradient by the outputs has no jumps.
        bounded: whether its gradient by the outputs stays bounded, however far they are off.
        probabilistic: whether its minimum has a reading as a probability: a proper score for classes; minus the
            logarithm of a density, up to a constant, for numbers.
        oracle: what its values were compared with: a function of a library, or a published formula or number.

    Raises:
        SpecError: an end or a problem is none of these.

    Example:
        >>> import losssearch as ls
        >>> ls.terms["huber"].traits.argmin, ls.terms["huber"].traits.problems
        ('centre', ('outliers',))
    """

    argmin: str = ""
    problems: tuple[str, ...] = ()
    convex: bool = False
    smooth: bool = False
    bounded: bool = False
    probabilistic: bool = False
    oracle: str = ""

    def __post_init__(self) -> None:
        if self.argmin and self.argmin not in ENDS:
            raise SpecError(f"argmin must be one of {', '.join(ENDS)}; got {self.argmin!r}")
        if unknown := [problem for problem in self.problems if problem not in PROBLEMS]:
            raise SpecError(f"problems must be among {', '.join(PROBLEMS)}; got {unknown[0]!r}")

    @property
    def shape(self) -> dict[str, bool]:
        """The properties by their name on screen."""
        return {
            "convex": self.convex,
            "smooth": self.smooth,
            "bounded gradient": self.bounded,
            "probabilistic": self.probabilistic,
        }


UNKNOWN = Traits()
"""Of a term that states nothing."""
