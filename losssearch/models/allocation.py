"""Recognising out-of-memory errors of all allocators, and releasing what a failed step held."""

from __future__ import annotations

import re
import traceback

import torch

_REFUSED = re.compile(
    r"out[ _]of[ _]memory"  # CUDA, its driver, HIP, MPS, NVML
    r"|can't allocate memory|not enough memory"  # the CPU's allocators
    r"|ErrorMemoryAllocation"  # CUDA's runtime, by name
    r"|_ALLOC_FAILED|_ALLOCATION_FAILED"  # cuBLAS, cuDNN, cuSOLVER, cuSPARSE, cuFFT
    r"|CUBLAS_STATUS_NOT_INITIALIZED when calling .?cublasCreate"  # there was no room for cuBLAS's own state
    r"|NVML_SUCCESS == ",  # PyTorch, out of memory, asked NVML who holds it and got no answer
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that an allocator, of the CPU or of a device, ran out of memory."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _REFUSED.search(str(error)) is not None


def let_go(error: BaseException) -> None:
    """Clear the frames that an error went through, and those of the errors before it: they hold tensors."""
    seen: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in seen:
        traceback.clear_frames(step.__traceback__)
        seen.append(step)
        step = step.__cause__ or step.__context__
