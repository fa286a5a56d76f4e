"""A loss term: a pure function from named tensors and named hyperparameters to a loss, and its record.

The record states the facts that everything else uses: what the term reads, what may be tuned and in which range, what
it learns, and its reference. ``@loss_term`` creates it and adds it to the registry, ``losssearch.terms``.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> focal = ls.terms["focal"]
    >>> focal.reads, focal.defaults
    (('logits', 'labels'), {'gamma': 2.0})
    >>> focal.module(gamma=1.0)(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    tensor(0.0842)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast

from torch import Tensor

from losssearch.arguments import declaration
from losssearch.errors import SpecError, UnknownNameError
from losssearch.losses.catalogue import Catalogue
from losssearch.losses.domains import Choice, Domain, Float, Int, Tree
from losssearch.losses.schedule import Number, Scheduled, read_number
from losssearch.losses.state import State
from losssearch.losses.term_module import TermModule
from losssearch.losses.term_rules import SAMPLE_WEIGHT, declared_signature, require_rules
from losssearch.losses.traits import UNKNOWN, Traits

TermReduction = Literal["mean", "sum", "none"]

Together: TypeAlias = "Callable[[Sequence[Mapping[str, str]]], Callable[..., Tensor]]"
Written: TypeAlias = "Callable[[Mapping[str, str], str], tuple[list[str], list[Callable[..., object]]]]"

Setting: TypeAlias = Number | str
"""What a hyperparameter is set to: a number, the schedule that it follows, or a choice."""


@dataclass(frozen=True)
class LossTerm:
    """The record of one term, made by `losssearch.loss_term`.

    Attributes:
        name: the name of the term, which is that of its function.
        function: the function itself.
        family: the module that contains it.
        reads: the tensors that it takes by position, in order.
        domains: the range of each hyperparameter, by name.
        states: the tensors that it keeps while a model trains, by name.
        reference: the paper or book that it comes from.
        per_sample: whether it returns ``[batch]``; otherwise it returns a scalar for the whole batch.
        nonnegative: whether its value is never negative.
        shift_invariant: whether adding a constant to all logits of a sample changes nothing.
        scaled: whether its weight is in units of its gradient at initialisation. The gradient of a fairness term may be
            0 there, so its weight is absolute.
        weighs_group: whether it depends on samples only through sums of their group memberships.
        soft_labels: whether labels may also be probabilities ``[batch, classes]``; see `losssearch.losses.labels`.
        reads_weight: whether it takes sample weights after what it ``reads``.
        for_numbers: its former name in losses for numeric targets, which spaces, stored specs and their keys may still
            use; under that name the term is ``of_numbers``, and has its ``fixed`` choices.
        of_numbers: see ``for_numbers``.
        fixed: choices that the function takes and nobody sets.
        fixed_for_numbers: those of its former name.
        together: ``together(settings)`` of the choices of many members returns a function of what the term reads, each
            tensor ``[members, ...]``, that evaluates all members at once: ``[members, batch]``. The members of a
            population then need not share choices. Its results are those of the function, for first derivatives.
        written: ``written(choices, result)`` are statements that compute the term from what it reads into the variable
            ``result``, and the functions that they call, for an exported loss in place of the term's function.
        traits: what is known of its shape, of where its descent ends and of its oracle.
        aliases: further names that it is found under.
        restart_at: the name of the hyperparameter that says at which share of the training the model starts anew, while
            the loss keeps what it has; empty for most terms.
        summary: the first line of its docstring.

    Sample weights count as repeated rows. For a per-sample term, the mean of its values is weighted. A term that
    ``reads_weight`` receives the weights; a term that ``weighs_group`` receives memberships times weights. Other
    batch-level terms take no weights.
    """

    name: str
    function: Callable[..., Tensor]
    family: str
    reads: tuple[str, ...]
    domains: Mapping[str, Domain]
    states: Mapping[str, State]
    reference: str
    per_sample: bool = True
    nonnegative: bool = True
    shift_invariant: bool = False
    scaled: bool = True
    weighs_group: bool = False
    soft_labels: bool = False
    reads_weight: bool = False
    for_numbers: str = ""
    of_numbers: bool = False
    fixed: dict[str, str] = field(default_factory=dict)
    fixed_for_numbers: Mapping[str, str] = field(default_factory=dict)
    together: Together | None = field(default=None, compare=False)
    written: Written | None = field(default=None, compare=False)
    traits: Traits = UNKNOWN
    aliases: tuple[str, ...] = ()
    restart_at: str = ""
    summary: str = field(default="", compare=False)

    def __call__(self, *tensors: Tensor | None, **hyperparameters: Tensor | str) -> Tensor:
        """Evaluate the term: tensors in the order of ``reads``; numbers as 0-dim tensors, choices as names.

        A term that ``reads_weight`` may be given the sample weights after these; None by default.
        """
        if self.reads_weight and len(tensors) == len(self.reads):
            tensors = (*tensors, None)
        return self.function(*tensors, **({**self.fixed, **hyperparameters} if self.fixed else hyperparameters))

    def __reduce__(self) -> tuple[Callable[[str], LossTerm], tuple[str]]:
        return _by_name, (self.name,)

    def fits(self, offered: frozenset[str]) -> bool:
        """Whether a task that offers these tensors has everything that the term reads."""
        return offered.issuperset(self.reads)

    @property
    def needs_ids(self) -> bool:
        """Whether targets must be class ids, because the term cannot read probabilities."""
        return not {"labels", "goal"}.isdisjoint(self.reads) and not self.soft_labels

    @property
    def takes_weights(self) -> bool:
        """Whether the term supports sample weights."""
        return self.per_sample or self.reads_weight or self.weighs_group

    def require_weights(self) -> None:
        """Raise `SpecError` if the term does not support sample weights."""
        if not self.takes_weights:
            raise SpecError(
                f"{self.name} gives one value per batch and cannot weigh its samples: leave the weights out, or "
                f"declare the term with a last positional parameter {SAMPLE_WEIGHT}"
            )

    @property
    def learned(self) -> dict[str, State]:
        """The states that the optimiser moves with the model."""
        return {name: state for name, state in self.states.items() if state.optimised}

    @property
    def defaults(self) -> dict[str, float | int | str]:
        """The default of every hyperparameter."""
        return {name: domain.default for name, domain in self.domains.items()}

    def check(self, hyperparameters: Mapping[str, object]) -> dict[str, float | int | str]:
        """Complete ``hyperparameters`` with defaults and check each against its domain.

        Raises `SpecError` for an unknown name or a value outside its range.
        """
        checked = self.check_settings(hyperparameters)
        if moving := [name for name, value in checked.items() if isinstance(value, Scheduled)]:
            raise SpecError(f"{self.name}.{moving[0]} must be one value here and can follow no schedule")
        return cast("dict[str, float | int | str]", checked)

    def check_settings(self, hyperparameters: Mapping[str, object]) -> dict[str, Setting]:
        """As `check`, where a real number may also follow a schedule."""
        for name in hyperparameters:
            if name not in self.domains:
                known = ", ".join(self.domains) or "none"
                raise SpecError(f"{self.name} has no hyperparameter {name!r}; it has: {known}")
        checked = {
            name: _checked(f"{self.name}.{name}", hyperparameters.get(name, domain.default), domain)
            for name, domain in self.domains.items()
        }
        if isinstance(checked.get(self.restart_at), Scheduled):
            raise SpecError(
                f"{self.name}.{self.restart_at} says when the model starts anew: it must be one number and can follow "
                "no schedule"
            )
        return checked

    def module(self, *, reduction: TermReduction = "mean", **hyperparameters: float | str) -> TermModule:
        """Make a PyTorch module of the term.

        Args:
            reduction: ``"mean"``, ``"sum"`` or ``"none"`` over samples; a batch-level term only has ``"mean"``.
            **hyperparameters: values within the term's ranges; the others keep their defaults.

        Returns:
            The module, which takes the tensors that the term reads, in order. Logits are ``[batch, classes]``; for two
            classes, the logit of class 1 ``[batch]`` is accepted as well.

        Raises:
            SpecError: the reduction or a hyperparameter is unknown, or a value is out of range.

        Example:
            >>> import torch
            >>> import losssearch as ls
            >>> loss = ls.terms["binary_cross_entropy"].module(reduction="none")
            >>> loss(torch.tensor([0.0, 2.0]), torch.tensor([1, 1]))
            tensor([0.6931, 0.1269])
        """
        allowed = ("mean", "sum", "none") if self.per_sample else ("mean",)
        if reduction not in allowed:
            why = "" if self.per_sample else ", since it gives one value per batch"
            raise SpecError(f"{self.name}'s reduction must be one of {', '.join(allowed)}{why}; got {reduction!r}")
        return TermModule(self, self.check(hyperparameters), reduction)


def _checked(name: str, value: object, domain: Domain) -> Setting:
    return domain.check(name, value) if isinstance(domain, Choice | Tree) else read_number(name, value, domain)


_registry: dict[str, LossTerm] = {}
_former: dict[str, LossTerm] = {}
_adopted: set[str] = set()


registry: Mapping[str, LossTerm] = Catalogue(_registry, _former)
"""Every term by name; complete once ``losssearch.losses`` is imported."""


def _by_name(name: str) -> LossTerm:
    if name not in registry:
        raise UnknownNameError("term", name, registry)
    return registry[name]


@declaration("ls.loss_term")
def loss_term(
    *,
    reference: str,
    per_sample: bool = True,
    nonnegative: bool = True,
    shift_invariant: bool = False,
    scaled: bool = True,
    weighs_group: bool = False,
    soft_labels: bool = False,
    for_numbers: str = "",
    fixed_for_numbers: Mapping[str, str] = MappingProxyType({}),
    together: Together | None = None,
    written: Written | None = None,
    traits: Traits = UNKNOWN,
    aliases: tuple[str, ...] = (),
    restart_at: str = "",
    **declared: Float | Int | Choice | Tree | State,
) -> Callable[[Callable[..., Tensor]], LossTerm]:
    """Declare a function as a loss term: it reads its positional parameters; the keyword-only ones are ``declared``.

    A parameter may have any name that a kind of task offers, also one that is declared later on; what looks like a
    misspelt name of one that there is already is refused. A last positional
    parameter ``sample_weight`` receives one weight per sample ``[batch]``, or None. The function must work under
    ``torch.func.vmap``: no ``if`` on values, no boolean indexing, no in-place writes.

    Args:
        reference: the paper or book that the term comes from.
        per_sample: see `LossTerm`; so are the next five.
        nonnegative: whether its value is never negative.
        shift_invariant: whether adding a constant to all logits of a sample changes nothing.
        scaled: whether its weight is in units of its gradient at initialisation.
        weighs_group: whether it depends on samples only through sums of their group memberships.
        soft_labels: whether labels may also be probabilities.
        for_numbers: a former name of the term.
        fixed_for_numbers: choices that it does not have under that name, and what they are.
        together: see `LossTerm`; so is the next one.
        written: how it stands in an exported loss.
        traits: what is known of its shape; see `losssearch.losses.traits.Traits`.
        aliases: further names that it is found under; losses are stored under its own.
        restart_at: see `LossTerm`; the range must lie within (0, 1).
        **declared: the range of each hyperparameter (`Float`, `Int`, `Choice`), and the states (`State`).

    Returns:
        A decorator that adds the term to ``losssearch.terms`` and returns its `LossTerm`.

    Raises:
        SpecError: the name is taken, the docstring or reference is missing, a tensor's name is misspelt, or the
            signature does not match the declaration.

    Example:
        >>> import torch
        >>> import losssearch as ls
        >>> @ls.loss_term(reference="an example", power=ls.Float(1.0, 4.0, default=2.0))
        ... def power_error(prediction, target, *, power):
        ...     'The absolute error to a power. Shapes: prediction [batch], target [batch] → [batch].'
        ...     return (target - prediction).abs() ** power
        >>> power_error.module(power=3.0)(torch.tensor([1.0]), torch.tensor([3.0]))
        tensor(8.)
    """

    def register(function: Callable[..., Tensor]) -> LossTerm:
        name = function.__name__
        reads, reads_weight = declared_signature(function, declared)
        for taken in (name, for_numbers, *aliases):
            if taken in registry and name not in _adopted:
                raise SpecError(f"term names must be unique, got a second {taken!r}")
        require_rules(function, declared, reference, weighs_group=weighs_group, restart_at=restart_at)
        term = LossTerm(
            name=name,
            function=function,
            family=function.__module__.rsplit(".", 1)[-1],
            reads=reads,
            domains=MappingProxyType({k: v for k, v in declared.items() if not isinstance(v, State)}),
            states=MappingProxyType({k: v for k, v in declared.items() if isinstance(v, State)}),
            reference=reference,
            per_sample=per_sample,
            nonnegative=nonnegative,
            shift_invariant=shift_invariant,
            scaled=scaled,
            weighs_group=weighs_group,
            soft_labels=soft_labels,
            reads_weight=reads_weight,
            for_numbers=for_numbers,
            fixed_for_numbers=dict(fixed_for_numbers),
            together=together,
            written=written,
            traits=traits,
            aliases=aliases,
            restart_at=restart_at,
            summary=str(function.__doc__).strip().splitlines()[0],
        )
        _registry[name] = term
        _former.update(dict.fromkeys(aliases, term))
        if for_numbers:
            own = MappingProxyType({k: v for k, v in term.domains.items() if k not in fixed_for_numbers})
            former = replace(term, name=for_numbers, for_numbers="", of_numbers=True, domains=own)
            _former[for_numbers] = replace(former, fixed=dict(term.fixed_for_numbers), fixed_for_numbers={})
        return term

    return register


def adopt_term(function: Callable[..., Tensor], declared: Mapping[str, Any]) -> None:
    """Declare a term that another process declared, where this one has none of its name.

    Where this process imports the term's module later on, the declaration there takes the place of this one.
    """
    if function.__name__ not in _registry:
        loss_term(**declared)(function)
        _adopted.add(function.__name__)
