"""Judges turn a model's outputs into utilities: by the metric alone, within constraints, or over a whole front."""

from losssearch.judging.fair import Demands
from losssearch.judging.metric import MetricJudge

__all__ = ["Demands", "MetricJudge"]
