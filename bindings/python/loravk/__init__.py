"""LoRA finetuning of language models on any Vulkan device.

Two levels. Tensors and operations, for programs with their own training loop: Tensor, matmul, lora_linear, AdamW, Context.record
and the rest of loravk.operations. Models and trainers, for those that want it done: Model, Tokenizer, Adapter, Trainer.
Everything runs in libloravk; failures raise loravk.Error with its text. Warnings go to the logger "loravk".
"""
from . import _api
from ._library import lib as _lib
from ._answers import AnswerOptions, Choice
from .adapter import Adapter, AdapterInfo
from .context import Context, DeviceInfo, TuneFinding, default_context, devices
from .errors import (
    BufferTooSmallError, BusyError, DeviceLostError, DivergedError, DriverError, Error, FileError, ForkedError, InternalError,
    InvalidArgumentError, InvalidHandleError, InvalidStateError, NoDeviceError, OutOfMemoryError, UnsupportedError)
from .files import MemoryPlan, MergeReport, StoredTensor, export_adapter, inspect_adapter, inspect_model, merge, plan
from .model import Evaluation, FeatureNorms, Model, ModelInfo
from .operations import (
    add, attention, attention_backward, clip_gradient_norm, cross_entropy, cross_entropy_backward, embedding, lora_linear,
    lora_linear_backward, lora_linear_forward, matmul, rms_norm, rms_norm_backward, scale)
from .optimizer import AdamW
from .session import Session, SessionInfo
from .tensor import Tensor
from .tokenizer import Tokenizer
from .trainer import History, Progress, RunResult, StepResult, Trainer

#: Of this package; `library_version()` is that of the library.
__version__ = _api.VERSION


def library_version() -> str:
    return _lib.loravk_version().decode()


def has_feature(name: str) -> bool:
    """Whether the library has something that not every build or version has; `features()` are the names."""
    return _lib.loravk_has_feature(name.encode())


def features() -> list[str]:
    names: list[str] = []
    while name := _lib.loravk_feature_name(len(names)):
        names.append(name.decode())
    return names


__all__ = [
    "AdamW", "Adapter", "AdapterInfo", "AnswerOptions", "BufferTooSmallError", "BusyError", "Choice", "Context", "DeviceInfo", "DeviceLostError",
    "DivergedError", "DriverError", "Error", "Evaluation", "FeatureNorms", "FileError", "ForkedError", "History", "InternalError",
    "InvalidArgumentError", "InvalidHandleError", "InvalidStateError", "MemoryPlan", "MergeReport", "Model", "ModelInfo",
    "NoDeviceError", "OutOfMemoryError", "Progress", "RunResult", "Session", "SessionInfo", "StepResult", "StoredTensor", "Tensor", "Tokenizer", "Trainer",
    "TuneFinding", "UnsupportedError", "add", "attention", "attention_backward", "clip_gradient_norm", "cross_entropy",
    "cross_entropy_backward", "default_context", "devices", "embedding", "export_adapter", "features", "has_feature", "inspect_adapter",
    "inspect_model", "library_version", "lora_linear", "lora_linear_backward", "lora_linear_forward", "matmul", "merge", "plan",
    "rms_norm", "rms_norm_backward", "scale"]
