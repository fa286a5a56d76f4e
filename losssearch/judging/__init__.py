"""What turns a model's outputs into utilities: the metric of a study, alone or within constraints, or a whole front."""

from losssearch.judging.fair import Demands

__all__ = ["Demands"]
