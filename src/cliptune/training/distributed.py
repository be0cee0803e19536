"""One training run over several processes: who they are, what they add up, what they tell each other.

torchrun or `accelerate launch` starts the processes and accelerate joins them (`training.compute`). All hold the same
numbers. Each takes its slice of every batch, and gradients are added up before the optimiser sees them, so that all
take the same step:

    g = Σ_r Σ_{i in slice r} ∇ℓ_i / b

letters   r process · i image · b images of the whole batch · ℓ_i the terms of one image
others    Terms that belong to no single image (text self-consistency) count on the main process alone.
"""

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from cliptune.errors import UserError

WAIT = datetime.timedelta(days=7)
"""how long the others wait for what the main process does alone; a process that dies is noticed at once"""

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The processes of a run; by default there is one."""

    rank: int = 0
    size: int = 1
    talk: Any = None
    """gloo's group for plain objects: it waits as long as `WAIT` and keeps no GPU busy"""

    @property
    def main(self) -> bool:
        """Whether this is the process that measures, writes and speaks."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's share of `count` things in order; shares differ by one at most and may be empty."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def gather(self, value: T) -> list[T]:
        """What every process has, in the order of ranks."""
        if self.size == 1:
            return [value]
        told: list[Any] = [None] * self.size
        dist.all_gather_object(told, value, group=self.talk)
        return told

    @contextmanager
    def together(self) -> Iterator[None]:
        """All or none: where one process fails, all do, and say why. Inside, they must not wait for each other."""
        if self.size == 1:
            yield
            return
        problem: Exception | None = None
        try:
            yield
        except Exception as raised:
            problem = raised
        told = self.gather(self._two_lines(problem) if problem else None)
        if first := next(filter(None, told), None):
            raise problem or UserError(*first)

    def _two_lines(self, problem: Exception) -> tuple[str, str]:
        if isinstance(problem, UserError):
            return problem.what, problem.fix
        return f"process {self.rank} failed: {problem!r}", "its own lines say more"

    def on_main(self, work: Callable[[], T]) -> T:
        """`work` done by the main process alone; all get its result, or fail as it does."""
        told: list[Any] = [None]
        with self.together():
            if self.main:
                told[0] = work()
        if self.size > 1:
            dist.broadcast_object_list(told, src=0, group=self.talk)
        return told[0]


class Sum:
    """Adds up a step over the processes: gradients and loss terms in one buffer, one message a step."""

    def __init__(self, group: Group, parameters: Iterable[nn.Parameter]):
        self.group = group
        self.parameters = list(parameters)
        self.names: tuple[str, ...] = ()

    def __call__(self, values: Mapping[str, float]) -> dict[str, float]:
        """The loss terms of the whole batch; every parameter's gradient becomes that of the whole batch.

        A parameter without gradient on all processes stays without one, so that the optimiser leaves it alone.
        """
        if self.group.size == 1:
            return dict(values)
        if not self.names:  # of all processes: one with an empty slice knows no term of images
            self.names = tuple(dict.fromkeys(name for names in self.group.gather(tuple(values)) for name in names))
        assert values.keys() <= set(self.names), values.keys()
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        seen = [float(p.grad is not None) for p in self.parameters]
        facts = grads[0].new_tensor([*seen, *(values.get(name, 0.0) for name in self.names)])
        buffer = torch.cat([*(grad.flatten() for grad in grads), facts])
        dist.all_reduce(buffer)
        *parts, facts = buffer.split([*(p.numel() for p in self.parameters), len(facts)])
        found = facts.tolist()
        for parameter, grad, any_seen in zip(self.parameters, parts, found, strict=False):
            parameter.grad = grad.view_as(parameter) if any_seen else None
        return dict(zip(self.names, found[len(seen) :], strict=True))


def alike(group: Group, what: str, value: object, fix: str) -> None:
    """Refuse to go on unless `value` is the same on all processes.

    Raises:
        UserError: it is not; on all processes.
    """
    told = group.gather(value)
    if other := [rank for rank, each in enumerate(told) if each != told[0]]:
        raise UserError(f"process {other[0]} has other {what} than the first", fix)


_talk: tuple[Any, Any] | None = None
"""the process group last seen, and the group for objects made beside it"""


def group_of(rank: int, size: int) -> Group:
    """The group this process is in, once accelerate has joined it; all processes have to ask."""
    global _talk
    if size == 1:
        return Group()
    if _talk is None or _talk[0] is not dist.group.WORLD:
        _talk = dist.group.WORLD, dist.new_group(backend="gloo", timeout=WAIT)
    return Group(rank, size, _talk[1])


def leave() -> None:
    """Leave the group at the end of a process; nothing where there is none."""
    global _talk
    _talk = None
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
