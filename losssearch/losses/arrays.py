"""The library of arrays that frozen states are made of: those that come with losssearch, and a user's own.

An array is named by the SHA-256 of its numbers (float32, little-endian), so a spec that names one says exactly what it
computes. Files are safetensors and are read with a check of size, hash, type, shape and numbers; nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

import torch
from torch import Tensor

from losssearch.arguments import named_arguments
from losssearch.errors import DataError, SpecError, shown
from losssearch.option_names import option

FOLDER = Path(__file__).with_name("library")
"""The arrays that come with losssearch; each file is named by its hash."""

TENSOR = "parameters"
"""The name of the array in its file."""

LARGEST = 1 << 20
"""Bytes of a file."""

_NAME = re.compile(r"[0-9a-f]{64}")
_own: dict[str, Tensor] = {}
_known: dict[str, Tensor] = {}


def hash_of(array: Tensor) -> str:
    """The SHA-256 of the numbers of an array, in hexadecimal digits."""
    return hashlib.sha256(array.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()).hexdigest()


def checked_name(name: str, value: object) -> str:
    """Return ``value`` if it can be the name of an array; raise `SpecError` otherwise."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise SpecError(f"{name} is the SHA-256 of an array, 64 hexadecimal digits in lower case; got {shown(value)}")
    return value


def array_named(name: str) -> Tensor:
    """The array of this name, float32.

    Raises:
        SpecError: neither losssearch nor this process knows it.
        DataError: the file that comes with losssearch is damaged.
    """
    if name in _own:
        return _own[name]
    if name not in _known:
        file = FOLDER / f"{checked_name('the name of an array', name)}.safetensors"
        if not file.is_file():
            raise SpecError(
                f"the array {name[:12]}… is not known here: give its file to ls.add_array first, in a module that "
                f"{option('imports')} names where a search needs it"
            )
        _known[name] = read_array(file, sha256=name)
    return _known[name]


@named_arguments("ls.add_array")
def add_array(file: Path | str, *, sha256: str | None = None) -> str:
    """Let losses use an array of your own, such as one that ``python -m benchmarks.meta_learning`` has written.

    Args:
        file: A safetensors file with one tensor ``parameters``, float32.
        sha256: What the SHA-256 of its numbers must be; not compared if left out.

    Returns:
        The SHA-256, which is the array's name in specs and spaces: ``{"term": "network", "array": name}``.

    Raises:
        DataError: The file is missing, no plain file, too large or damaged, holds something else or numbers that are
            not finite, or its hash is another.

    Example:
        >>> import torch
        >>> import losssearch as ls
        >>> from losssearch.losses.arrays import write_array
        >>> name = write_array("own.safetensors", torch.linspace(-0.1, 0.1, 1841))
        >>> ls.add_array("own.safetensors", sha256=name) == name
        True
    """
    array = read_array(Path(file), sha256=sha256)
    return enter_array(array)


def enter_array(array: Tensor) -> str:
    """Let this process know an array; returns its name."""
    name = hash_of(array)
    _own[name] = array
    return name


def own_arrays() -> dict[str, Tensor]:
    """The arrays that this process was told of, by name."""
    return dict(_own)


def write_array(file: Path | str, array: Tensor) -> str:
    """Write an array to a safetensors file; returns its name."""
    from safetensors.torch import save

    kept = array.detach().to("cpu", torch.float32).contiguous()
    Path(file).write_bytes(save({TENSOR: kept}))
    return hash_of(kept)


def read_array(file: Path, *, sha256: str | None = None, size: int | None = None) -> Tensor:
    """The array of a file, checked; ``size``: how many numbers it must have, in one dimension.

    Raises `DataError`, one line that names the file, the rule and what was found.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    raw = _bytes(file)
    try:
        tensors = load(raw)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} must be a safetensors file: {' '.join(str(error).split())[:120]}") from None
    if set(tensors) != {TENSOR}:
        raise DataError(
            f"{file} must hold one tensor called {TENSOR}, got {shown(', '.join(sorted(tensors)) or 'none')}"
        )
    return checked_array(tensors[TENSOR], f"{file}", sha256=sha256, size=size)


def checked_array(array: Tensor, what: str, *, sha256: str | None = None, size: int | None = None) -> Tensor:
    """Return ``array`` if it keeps the rules of the library; raise `DataError` otherwise."""
    if array.dtype != torch.float32:
        raise DataError(f"{what} must hold float32 numbers, got {str(array.dtype).removeprefix('torch.')}")
    if array.dim() != 1 or (size is not None and len(array) != size):
        wanted = "one dimension" if size is None else f"the shape [{size}]"
        raise DataError(f"{what} must have {wanted}, got the shape {list(array.shape)}")
    if not bool(array.isfinite().all()):
        count = int((~array.isfinite()).sum())
        raise DataError(f"{what} must hold finite numbers, got {count} that are not")
    if sha256 is not None and (found := hash_of(array)) != sha256:
        raise DataError(f"{what} must have the SHA-256 {shown(sha256)}, got {found}: it is another array or damaged")
    return array


def _bytes(file: Path) -> bytes:
    """The content of a plain file of at most `LARGEST` bytes."""
    try:
        with file.open("rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise DataError(f"{file} must be a plain file")
            raw = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise DataError(f"{file} must be a file that can be read: {cause}") from None
    if len(raw) > LARGEST:
        raise DataError(f"{file} must have at most {LARGEST} bytes, and has more")
    return raw
