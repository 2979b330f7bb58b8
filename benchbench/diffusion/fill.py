"""Makes a network out of given tensors, without random values first.

Imports accelerate only inside a function: it takes seconds to load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchbench.diffusion.network_kind import network_class


def empty(make: Callable[[], Any]) -> Any:
    """Returns the network that ``make`` makes, with parameters that have a shape and no values."""
    from accelerate import init_empty_weights

    with init_empty_weights():
        return make()


def empty_network(folder: Path) -> Any:
    """Returns the UNet or transformer of a folder's config.json; its parameters have a shape and no values."""
    network = network_class(folder.name)
    config = network.load_config(folder, local_files_only=True)
    return empty(lambda: network.from_config(config))


def filled(network: Any, state: Mapping[str, Tensor], device: torch.device | str, dtype: torch.dtype) -> Any:
    """Returns an empty network with these tensors, frozen; those on the device in this precision are not copied.

    Raises RuntimeError unless names and shapes are exactly the network's.
    """
    network.load_state_dict({name: tensor.to(device, dtype) for name, tensor in state.items()}, assign=True)
    return network.to(device).eval().requires_grad_(False)  # buffers are not in the state
