"""A backward pass over fake CUDA tensors, walked here instead of by PyTorch's engine.

PyTorch's engine asks the CUDA driver for streams, also for tensors that are fake, and so fails on a machine without a
GPU. This walk calls the same nodes in the same order, and frees what a node had saved once it has run, as the engine
does, if the forward pass ran under ``freeing``. Its one purpose is to count; it knows no hooks of tensors, no second
derivatives and no second backward pass over one graph.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

ACCUMULATE = "AccumulateGrad"
OWNED = 3  # references to a gradient that nobody but its buffer holds: the list, the local name, the question itself


class _Saved:
    """The tensors that a node keeps for the backward pass; the walk empties this list."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Tensor | None = tensor


_read: list[_Saved] = []  # by the node that is running


def _unpack(saved: _Saved) -> Tensor:
    _read.append(saved)
    assert saved.tensor is not None, "a second backward pass over one graph of fake tensors"
    return saved.tensor


def freeing() -> AbstractContextManager[Any]:
    """The forward pass within the block saves what it saves where the walk can free it, node by node."""
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Saved(tensor.detach()), _unpack)


def backward(roots: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Adds the gradients of the roots, each times its ``gradients`` (ones where None), to the leaves' ``grad``."""
    _Walk(roots, gradients, []).run()


def grad(roots: Sequence[Tensor], inputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The gradients at ``inputs``, which must be leaves; None for one that no root depends on."""
    walk = _Walk(roots, gradients, inputs)
    walk.run()
    return [walk.captured.get(node) for node in walk.wanted]


class _Walk:
    def __init__(self, roots: Sequence[Tensor], gradients: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> None:
        self.wanted = [get_gradient_edge(x).node for x in inputs]
        self.captured: dict[Any, Tensor] = {}
        self.buffers: dict[Any, list[Tensor | None]] = {}
        self.ready: list[tuple[int, int, Any]] = []
        edges = [get_gradient_edge(root) for root in roots]
        self.waiting = self._dependencies([edge.node for edge in edges])
        self.pushed = 0
        for edge, root, gradient in zip(edges, roots, gradients, strict=True):
            self._add(edge.node, edge.output_nr, torch.ones_like(root) if gradient is None else gradient)
        for node in {edge.node for edge in edges}:
            if self.waiting[node] == 0:
                self._push(node)

    @staticmethod
    def _dependencies(roots: Sequence[Any]) -> dict[Any, int]:
        """Counts the nodes that hand a gradient to each node."""
        waiting, stack = dict.fromkeys(roots, 0), list(dict.fromkeys(roots))
        while stack:
            for after, _ in stack.pop().next_functions:
                if after is None:
                    continue
                if after not in waiting:
                    waiting[after] = 0
                    stack.append(after)
                waiting[after] += 1
        return waiting

    def _push(self, node: Any) -> None:
        """Later nodes first, and the leaves before all others: the engine's order."""
        self.pushed += 1
        first = node.name().endswith(ACCUMULATE)
        heapq.heappush(self.ready, (-sys.maxsize if first else -node._sequence_nr(), self.pushed, node))

    @torch.no_grad()
    def run(self) -> None:
        """Calls every node once all gradients that it waits for are there."""
        while self.ready:
            node = heapq.heappop(self.ready)[2]
            self.waiting.pop(node)
            gradients = self.buffers.pop(node, [None])
            edges = node.next_functions
            if node.name().endswith(ACCUMULATE):
                self._leaf(node, gradients[0])
                continue
            _read.clear()
            results: Any = [None] * len(edges) if all(g is None for g in gradients) else node(*gradients)
            gradients.clear()
            for saved in _read:
                saved.tensor = None
            _read.clear()
            results = list(results) if isinstance(results, tuple | list) else [results]
            del node
            for i, (after, number) in enumerate(edges):
                value, results[i] = results[i], None
                if after is not None:
                    self._hand_on(after, number, value)
                del value
            del edges

    def _leaf(self, node: Any, gradient: Tensor | None) -> None:
        if node in self.wanted:
            if gradient is not None:
                self.captured[node] = gradient
        elif gradient is not None and not self.wanted:
            variable = node.variable
            if variable.grad is None:
                variable.grad = gradient
            else:
                variable.grad.add_(gradient)

    def _hand_on(self, node: Any, number: int, gradient: Tensor | None) -> None:
        self.waiting[node] -= 1
        if gradient is not None:
            self._add(node, number, _fitted(gradient, node._input_metadata[number]))
        if self.waiting[node] == 0:
            self._push(node)

    def _add(self, node: Any, number: int, gradient: Tensor) -> None:
        slots = self.buffers.setdefault(node, [None] * len(node._input_metadata))
        there = slots[number]
        if there is None:
            slots[number] = gradient
        elif sys.getrefcount(there) <= OWNED and not there._is_view():
            there.add_(gradient)
        else:
            slots[number] = there + gradient


def _fitted(gradient: Tensor, wanted: Any) -> Tensor:
    """In the precision and the shape of what it is the gradient of, as the engine hands it over."""
    if gradient.dtype != wanted.dtype:
        gradient = gradient.to(wanted.dtype)
    return gradient if gradient.shape == tuple(wanted.shape) else gradient.sum_to_size(wanted.shape)
