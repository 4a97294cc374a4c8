"""LoRA finetuning of language models on any Vulkan device.

Two levels. Tensors and operations, for programs with their own training loop: Tensor, matmul, lora_linear, AdamW, Context.record
and the rest of loravk.operations. Models and trainers, for those that want it done: Model, Tokenizer, Adapter, Trainer.
Everything runs in libloravk; failures raise loravk.Error with its text. Warnings go to the logger "loravk".
"""
from . import _api
from ._library import lib as _lib
from .adapter import Adapter
from .context import Context, DeviceInfo, default_context, devices
from .errors import (
    BufferTooSmallError, BusyError, DeviceLostError, DivergedError, DriverError, Error, FileError, ForkedError, InternalError,
    InvalidArgumentError, InvalidHandleError, InvalidStateError, NoDeviceError, OutOfMemoryError, UnsupportedError)
from .files import MemoryPlan, MergeReport, export_adapter, merge, plan
from .model import Evaluation, Model, ModelInfo
from .operations import (
    add, attention, attention_backward, clip_gradient_norm, cross_entropy, cross_entropy_backward, embedding, lora_linear,
    lora_linear_backward, lora_linear_forward, matmul, rms_norm, rms_norm_backward, scale)
from .optimizer import AdamW
from .tensor import Tensor
from .tokenizer import Tokenizer
from .trainer import History, Progress, RunResult, StepResult, Trainer

#: Of this package; `library_version()` is that of the library.
__version__ = _api.VERSION


def library_version() -> str:
    return _lib.loravk_version().decode()


def has_feature(name: str) -> bool:
    """Whether the library has something that not every build or version has."""
    return _lib.loravk_has_feature(name.encode())


__all__ = [
    "AdamW", "Adapter", "BufferTooSmallError", "BusyError", "Context", "DeviceInfo", "DeviceLostError", "DivergedError",
    "DriverError", "Error", "Evaluation", "FileError", "ForkedError", "History", "InternalError", "InvalidArgumentError",
    "InvalidHandleError", "InvalidStateError", "MemoryPlan", "MergeReport", "Model", "ModelInfo", "NoDeviceError",
    "OutOfMemoryError", "Progress", "RunResult", "StepResult", "Tensor", "Tokenizer", "Trainer", "UnsupportedError", "add",
    "attention", "attention_backward", "clip_gradient_norm", "cross_entropy", "cross_entropy_backward", "default_context",
    "devices", "embedding", "export_adapter", "has_feature", "library_version", "lora_linear", "lora_linear_backward",
    "lora_linear_forward", "matmul", "merge", "plan", "rms_norm", "rms_norm_backward", "scale"]
