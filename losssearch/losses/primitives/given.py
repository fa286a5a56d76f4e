"""Penalties on what only a training loop has: parameters, gradients by the inputs, predictions for mixtures.

No kind of task offers these tensors, so a search has no such part: they are for losses in a loop of your own, which
gives them by name.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.compose({"parts": [{"term": "cross_entropy"}, {"term": "l2", "weight": 0.01}]})
    >>> model = torch.nn.Linear(3, 2)
    >>> parameters = torch.nn.utils.parameters_to_vector(model.parameters())
    >>> loss(model(torch.ones(4, 3)), torch.tensor([0, 1, 1, 0]), parameters=parameters).backward()
    >>> bool(model.weight.grad.any())
    True
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="Tibshirani 1996, the lasso",
    per_sample=False,
    scaled=False,
    traits=Traits(oracle="numpy.linalg.norm, ord=1"),
)
def l1(parameters: Tensor, sample_weight: Tensor | None) -> Tensor:
    """The sum of the sizes of all parameters, which makes many of them zero.

    ``Σ |w|``. Shapes: parameters [numbers] → scalar.
    """
    return parameters.abs().sum()


@loss_term(
    reference="Hoerl and Kennard 1970, ridge regression",
    per_sample=False,
    scaled=False,
    traits=Traits(oracle="numpy.linalg.norm, ord=2"),
)
def l2(parameters: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Half the sum of the squares of all parameters, which keeps them small: weight decay as a loss.

    ``Σ w² / 2``. Shapes: parameters [numbers] → scalar.
    """
    return parameters.square().sum() / 2


@loss_term(
    reference="Zou and Hastie 2005, as scikit-learn's ElasticNet writes it",
    per_sample=False,
    scaled=False,
    ratio=Float(0.0, 1.0, default=0.5),
    traits=Traits(oracle="numpy.linalg.norm, ord=1 and ord=2"),
)
def elastic_net(parameters: Tensor, sample_weight: Tensor | None, *, ratio: Tensor) -> Tensor:
    """Between the two penalties on parameters: small, and some of them zero.

    ``ρ Σ |w| + (1 - ρ) / 2 Σ w²``, ρ the ``ratio``. Shapes: parameters [numbers] → scalar. Limits: ρ = 1 is `l1`;
    ρ = 0 is `l2`.
    """
    share = ratio.to(parameters.dtype)
    return share * parameters.abs().sum() + (1 - share) / 2 * parameters.square().sum()


@loss_term(
    reference="Gulrajani et al. 2017, eq. 3; Drucker and Le Cun 1992 for a norm of 0",
    scaled=False,
    norm=Float(0.0, 10.0, default=1.0),
    traits=Traits(oracle="scipy.linalg.norm, row by row"),
)
def gradient_penalty(input_gradient: Tensor, *, norm: Tensor) -> Tensor:
    """How far the slope of the model at each sample is from a wanted one; 0 makes it flat, 1 keeps it Lipschitz.

    ``(|∂f/∂x_i| - n)²`` of the gradients by the features, made with ``create_graph=True``. Shapes: input_gradient
    [batch, features] → [batch].
    """
    steepness: Tensor = torch.linalg.vector_norm(input_gradient, dim=-1)
    return (steepness - norm).square()


@loss_term(
    reference="Verma et al. 2019, Interpolation consistency training, eq. 2, without a second network",
    scaled=False,
    traits=Traits(oracle="scipy.spatial.distance.sqeuclidean, row by row"),
)
def mixup_consistency(mixed: Tensor, mixture: Tensor) -> Tensor:
    """A prediction for a mixture of two samples should be the mixture of their predictions.

    ``Σ_c (mixed_c - mixture_c)²`` with ``mixed = f(λ x_i + (1 - λ) x_j)`` and ``mixture = λ f(x_i) + (1 - λ) f(x_j)``,
    through which nothing is differentiated. Shapes: mixed and mixture [batch, columns] → [batch].
    """
    return (mixed - mixture.detach()).square().sum(-1)
