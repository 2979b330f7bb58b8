"""A backward pass over fake CUDA tensors, without PyTorch's autograd engine.

The engine asks the CUDA driver for streams even for fake tensors, and so fails without a GPU. This walk calls the same
nodes in the same order. If the forward pass ran under ``freeing``, it also frees the saved tensors of a node once the
node has run, as the engine does. It serves for counting only: it supports no tensor hooks, no second derivatives and no
second backward pass over one graph.
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
OWNED = 3  # references to a gradient held by its buffer alone: the list, the local name, getrefcount's argument


class _Saved:
    """A tensor that a node saves for the backward pass; the walk frees it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Tensor | None = tensor


_read: list[_Saved] = []  # the saved tensors that the running node has read


def _unpack(saved: _Saved) -> Tensor:
    _read.append(saved)
    assert saved.tensor is not None, "a second backward pass over one graph of fake tensors"
    return saved.tensor


def freeing() -> AbstractContextManager[Any]:
    """Returns a context for the forward pass, in which saved tensors can be freed by the walk, node by node."""
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Saved(tensor.detach()), _unpack)


def backward(roots: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Adds the gradients of the roots, each weighted by ``gradients`` (None: ones), to ``grad`` of the leaves."""
    _Walk(roots, gradients, []).run()


def grad(roots: Sequence[Tensor], inputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Returns the gradients at ``inputs``, which must be leaves; None for a leaf that no root depends on."""
    walk = _Walk(roots, gradients, inputs)
    walk.run()
    return [walk.captured.get(node) for node in walk.input_nodes]


class _Walk:
    def __init__(self, roots: Sequence[Tensor], gradients: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> None:
        self.input_nodes = [get_gradient_edge(x).node for x in inputs]
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
        """Returns the number of gradients that each node waits for."""
        waiting, stack = dict.fromkeys(roots, 0), list(dict.fromkeys(roots))
        while stack:
            for next_node, _ in stack.pop().next_functions:
                if next_node is None:
                    continue
                if next_node not in waiting:
                    waiting[next_node] = 0
                    stack.append(next_node)
                waiting[next_node] += 1
        return waiting

    def _push(self, node: Any) -> None:
        """Queues a node in the engine's order: leaves first, then later nodes before earlier ones."""
        self.pushed += 1
        is_leaf = node.name().endswith(ACCUMULATE)
        heapq.heappush(self.ready, (-sys.maxsize if is_leaf else -node._sequence_nr(), self.pushed, node))

    @torch.no_grad()
    def run(self) -> None:
        """Calls each node once all gradients that it waits for have arrived."""
        while self.ready:
            node = heapq.heappop(self.ready)[2]
            self.waiting.pop(node)
            gradients = self.buffers.pop(node, [None])
            edges = node.next_functions
            if node.name().endswith(ACCUMULATE):
                self._accumulate(node, gradients[0])
                continue
            _read.clear()
            results: Any = [None] * len(edges) if all(g is None for g in gradients) else node(*gradients)
            gradients.clear()
            for saved in _read:
                saved.tensor = None
            _read.clear()
            results = list(results) if isinstance(results, tuple | list) else [results]
            del node
            for i, (next_node, input_number) in enumerate(edges):
                gradient, results[i] = results[i], None
                if next_node is not None:
                    self._pass_on(next_node, input_number, gradient)
                del gradient
            del edges

    def _accumulate(self, node: Any, gradient: Tensor | None) -> None:
        if node in self.input_nodes:
            if gradient is not None:
                self.captured[node] = gradient
        elif gradient is not None and not self.input_nodes:
            variable = node.variable
            if variable.grad is None:
                variable.grad = gradient
            else:
                variable.grad.add_(gradient)

    def _pass_on(self, node: Any, number: int, gradient: Tensor | None) -> None:
        self.waiting[node] -= 1
        if gradient is not None:
            self._add(node, number, _converted(gradient, node._input_metadata[number]))
        if self.waiting[node] == 0:
            self._push(node)

    def _add(self, node: Any, number: int, gradient: Tensor) -> None:
        slots = self.buffers.setdefault(node, [None] * len(node._input_metadata))
        total = slots[number]
        if total is None:
            slots[number] = gradient
        elif sys.getrefcount(total) <= OWNED and not total._is_view():
            total.add_(gradient)
        else:
            slots[number] = total + gradient


def _converted(gradient: Tensor, target: Any) -> Tensor:
    """Returns the gradient in the dtype and shape of its tensor, as the engine does."""
    if gradient.dtype != target.dtype:
        gradient = gradient.to(target.dtype)
    return gradient if gradient.shape == tuple(target.shape) else gradient.sum_to_size(target.shape)
