"""Training: step by step, or whole runs on a data file."""
from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import _api, _tokens, errors
from ._data import Data, DataFormat, data_config
from ._library import LOGGER, Callbacks, Object, create, lib, optional_text, path_text, read, record, text
from ._tokens import Tokens
from .adapter import Adapter
from .model import Model


def _decoded(address: int) -> str:
    return ctypes.string_at(address).decode(errors="replace")


@dataclass(frozen=True)
class StepResult:
    loss: float  #: mean over the counted targets
    grad_norm: float  #: global, before clipping; 0 from forward_backward
    tokens: int
    seconds: float
    counted_tokens: int  #: targets that the loss counts


@dataclass(frozen=True)
class Progress:
    """A step of a run."""

    step: int  #: steps done, from 1
    steps: int
    loss: float
    grad_norm: float
    learning_rate: float
    seconds: float
    tokens_per_second: float
    seconds_left: float | None  #: None while only steps were made that compile kernels
    validation_loss: float | None  #: None where this step had none
    tokens: int
    counted_tokens: int
    metrics: dict[str, float]  #: what the objective tells beside the loss: "rewards/accuracies" …
    validation_metrics: dict[str, float]  #: empty where this step had none


@dataclass(frozen=True)
class RunResult:
    steps: int  #: done, with those before it was resumed
    stopped: bool  #: by a callback or `request_stop`
    loss: float | None  #: of the last step; None without one
    validation_loss: float | None  #: the last one; None without one
    best_step: int  #: of the lowest validation loss; 0 without one
    best_validation_loss: float | None
    ending: int  #: 0: all steps were made, 1: stopped, 2: the validation loss fell no more, 3: the time was up


class Trainer(Object):
    """An optimizer on an adapter of a model. What is None has the library's default, as in the program: AdamW, a learning rate
    of 5e-4, no weight decay, gradients clipped to a norm of 1.

    optimizer          "lion", "adamw:beta2=0.99" …: name[:option=number,…]; betas and eps are AdamW's where it is None
    max_grad_norm      gradients are scaled down to this global norm; 0: never
    seed               of dropout
    neftune            noise on the embeddings in training: NEFTune's alpha, 5 to 15; 0: none
    recomputed_blocks  lowest blocks whose activations the backward computes again instead of keeping them
    objective          what is minimised: "causal"; "dpo:beta=0.1", "ipo", "hinge", "simpo", "orpo", "kto", which compare answers;
                       "classification", "multilabel", "regression", "reward", of adapters that were created with the same
                       objective. All but the first learn from what `fit` reads
    """

    _kind = "trainer"

    def __init__(
        self, model: Model, adapter: Adapter, learning_rate: float | None = None, weight_decay: float | None = None,
        betas: tuple[float, float] | None = None, eps: float | None = None, max_grad_norm: float | None = None, *,
        seed: int = 0, recomputed_blocks: int = 0, objective: str | None = None, optimizer: str | None = None, neftune: float = 0.0,
    ) -> None:
        if optimizer is not None and (betas is not None or eps is not None):
            raise errors.InvalidArgumentError(
                "betas and eps are AdamW's where no optimizer is named; write them as options: optimizer='adamw:beta1=0.9,beta2=0.99'")
        config = _api.TrainerConfig(
            objective=optional_text(objective, "objective"),
            learning_rate=learning_rate, beta1=betas and betas[0], beta2=betas and betas[1], epsilon=eps, weight_decay=weight_decay,
            max_grad_norm=max_grad_norm, seed=seed, recomputed_blocks=recomputed_blocks, neftune=neftune,
            optimizer=optional_text(optimizer, "optimizer"))
        super().__init__(create(lib.loravk_trainer_create, model._handle, adapter._handle, config))
        self.model, self.adapter = model, adapter
        self._learning_rate: float = config.learning_rate

    @property
    def learning_rate(self) -> float:
        """Of the following steps; settable."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        lib.loravk_trainer_set_learning_rate(self._handle, rate)
        self._learning_rate = rate

    @property
    def steps(self) -> int:
        """Steps that were applied."""
        return read(lib.loravk_trainer_step_count, self._handle, kind=ctypes.c_int64)

    # Step by step

    def step(self, tokens: Tokens, labels: Tokens | None = None) -> StepResult:
        """One whole step: gradients cleared, forward, backward, optimizer. tokens and labels (B, T) int32, or rows of different
        lengths, of which no padding is computed; labels default to the tokens. Token t of a row is predicted from those before it, so labels are not shifted and the first of a row never
        counts; -100 does not count. After DivergedError the parameters are as before."""
        arguments = (self._handle, *_tokens.batch(tokens, labels).arguments)
        return record(StepResult, read(lib.loravk_trainer_step_ragged, *arguments, kind=_api.StepResult))

    def forward_backward(self, tokens: Tokens, labels: Tokens | None = None, divisor: int | None = None) -> StepResult:
        """Forward and backward alone. The gradients of (sum of losses) / divisor are added to those that are there, which are
        cleared first where they were applied already; the divisor defaults to this batch's own number of counted targets."""
        if divisor is not None and not 0 < divisor < 2**63:
            raise errors.InvalidArgumentError(f"divisor is {divisor}; it must be positive")
        arguments = (self._handle, *_tokens.batch(tokens, labels).arguments, divisor or 0)
        return record(StepResult, read(lib.loravk_trainer_forward_backward_ragged, *arguments, kind=_api.StepResult))

    def apply(self) -> float:
        """The optimizer alone, on the gradients that are there; returns their global norm before clipping."""
        return read(lib.loravk_trainer_apply, self._handle, kind=ctypes.c_double)

    def zero_gradients(self) -> None:
        lib.loravk_trainer_zero_gradients(self._handle)

    def save_state(self, path: str | os.PathLike) -> None:
        """The exact state between two steps, in one safetensors file: parameters, also those before the last step, what the optimizer
        keeps,
        how many steps and passes were made, and the seed. Not in it: the learning rate, gradients that were not applied, and which tokens come next."""
        lib.loravk_trainer_save_state(self._handle, path_text(path, "path"))

    def load_state(self, path: str | os.PathLike) -> None:
        """Goes on from that file, in a trainer whose model and adapter were made as those of the trainer that saved it: to the
        same bits, on the same device. Where it fails the trainer is as before."""
        lib.loravk_trainer_load_state(self._handle, path_text(path, "path"))

    # Whole runs

    def fit(
        self, data: Data, steps: int | None = None, *, epochs: float | None = None, validation: Data | None = None,
        batch_size: int | None = None, accumulation: int | None = None, schedule: str | None = None,
        warmup_steps: int | None = None, output: str | os.PathLike | None = None, overwrite: bool = False,
        resume: bool = False, tokens_per_pass: int = 0, save_every: int | None = None, validate_every: int | None = None,
        shuffle: bool = True, seed: int = 0, prompt_template: str | None = None, completion_template: str | None = None,
        max_tokens: int | None = None, learn_prompts: bool = False, append_end: bool = True, format: str | None = None,
        keep_checkpoints: int = 0, keep_best: bool = False, patience: int = 0, min_improvement: float = 0.0,
        max_seconds: float = 0.0, samples: Sequence[str] = (), sample_tokens: int | None = None,
        on_progress: Callable[[Progress], bool | None] | None = None,
        on_validate: Callable[[Progress], bool | None] | None = None,
        on_save: Callable[[int, str], None] | None = None, on_sample: Callable[[int, str, str], None] | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> RunResult:
        """A whole run on a .jsonl or .txt file, on a folder with train.jsonl (and valid.jsonl), or on examples: dicts and texts,
        or a table of them (pandas, polars, pyarrow, datasets, a dict of lists). What is None has the library's default, as in the
        program.

        steps, epochs    how long: one of them; None: three passes over the data, at most 1000 steps
        validation       data whose loss is computed on the way; None: valid.jsonl where `data` is a folder that has one
        batch_size       8 examples; `accumulation`: 1 batch a step
        schedule         of the learning rate, from the trainer's: "cosine" (None), "linear", "wsd:decay=0.1" …, after `warmup_steps`
                         (None: a twentieth of all, at most 100)
        output           folder for the adapter and metrics.jsonl, which holds the old adapter or the new one at every instant;
                         an adapter that is there is replaced only with `overwrite`
        tokens_per_pass  batches of more tokens are split into several passes (`loravk.plan` tells for a budget); 0: never
        resume           go on where the same run into `output` was stopped or killed, to the same bits; without one, begin. The
                         adapter, the trainer and all arguments must be made as that run's were
        save_every, validate_every   steps between saves, and looks at the validation data: 100; 0: only at the end
        shuffle, seed    whether the examples are shuffled, and how
        prompt_template, completion_template   "Review: {text}", " {label:bad|good}"; None: by the lines' own keys
        max_tokens       longer examples are cut: 512
        learn_prompts    prompts' tokens are targets too
        append_end       put the end-of-text token behind texts and completions
        format           what the examples are ("chat", "preference", "kto" …); None: their keys tell
        keep_checkpoints above 0: each save makes a folder checkpoint-STEP in `output` too, and so many of the last stay
        keep_best        end with the adapter of the lowest validation loss, here and in `output`
        patience         above 0: end after so many validations in a row whose loss was not lower than the best by more than
                         `min_improvement`
        max_seconds      above 0: stop at the end of the step in which so much time has passed; `resume` goes on
        samples          prompts to answer at each validation, by the likeliest tokens, at most `sample_tokens` (60)
        on_validate      called as on_progress after the steps that had a validation
        on_save          called with the step and the folder when the adapter was saved
        on_sample        called with the step, the prompt and the answer
        on_progress      called after each step; returning False, or raising, stops: the adapter is saved and the run ends well
        on_warning       called with what does not end the run; without it, warnings go to the logger "loravk"
        """
        if epochs is not None and not epochs > 0:
            raise errors.InvalidArgumentError(f"epochs is {epochs}; it must be positive")
        if steps is not None and (steps < 1 or epochs is not None):
            raise errors.InvalidArgumentError(
                f"steps is {steps}; it must be positive" if steps < 1 else "steps and epochs exclude each other: give one")
        options: DataFormat = {
            "format": format, "prompt_template": prompt_template, "completion_template": completion_template, "max_tokens": max_tokens,
            "learn_prompts": learn_prompts, "append_end": append_end}
        source = data_config(data, **options)
        held_out = None if validation is None else data_config(validation, **options)
        with Callbacks() as callbacks:
            config = _api.RunConfig(
                data=ctypes.pointer(source), validation=held_out and ctypes.pointer(held_out),
                output=None if output is None else path_text(output, "output"),
                schedule=optional_text(schedule, "schedule"), warmup_steps=warmup_steps, batch_size=batch_size,
                accumulation=accumulation, save_every=save_every, validate_every=validate_every, overwrite=overwrite,
                no_shuffle=not shuffle, steps=steps, seed=seed, epochs=epochs or 0,
                resume=resume, tokens_per_pass=tokens_per_pass, keep_checkpoints=keep_checkpoints, keep_best=keep_best,
                patience=patience, min_improvement=min_improvement, max_seconds=max_seconds, sample_tokens=sample_tokens)
            prompts = [text(prompt, f"samples[{index}]") for index, prompt in enumerate(samples)]
            config.sample_prompts, config.sample_count = (ctypes.c_char_p * len(prompts))(*prompts), len(prompts)

            def progressed(progress: ctypes._Pointer) -> bool | None:
                done = record(Progress, progress.contents)
                goes_on = on_progress(done) if on_progress else None
                if on_validate and done.validation_loss is not None and goes_on is not False:
                    goes_on = on_validate(done)
                return goes_on

            def saved(step: int, folder: int) -> None:
                if on_save:
                    on_save(step, _decoded(folder))

            def sampled(step: int, prompt: int, answer: int) -> None:
                if on_sample:
                    on_sample(step, _decoded(prompt), _decoded(answer))

            def warned(message: ctypes._Pointer) -> None:
                (on_warning or LOGGER.warning)(ctypes.string_at(message).decode(errors="replace"))

            config.on_progress = callbacks.wrap(_api.ProgressCallback, progressed)
            config.on_save = callbacks.wrap(_api.SaveCallback, saved)
            config.on_sample = callbacks.wrap(_api.SampleCallback, sampled)
            config.on_warning = callbacks.wrap(_api.WarningCallback, warned)
            return record(RunResult, read(lib.loravk_trainer_run, self._handle, config, kind=_api.RunResult))

    def _described(self) -> str:
        return f"after {self.steps} steps, learning rate {self.learning_rate:g}"

    def request_stop(self) -> None:
        """Ends a run after the step that it is in; without a run, the next one before its first step. From any thread."""
        lib.loravk_trainer_request_stop(self._handle)

    @property
    def last_error(self) -> errors.Error | None:
        """The last error of a call with this trainer, whatever thread made it."""
        detail = read(lib.loravk_trainer_get_error_detail, self._handle, kind=_api.ErrorDetail)
        return errors.make(detail.status, detail.message.decode(errors="replace"), detail) if detail.status else None


class History:
    """Keeps the numbers of steps for a plot: `history = History(); trainer.fit(…, on_progress=history)`, then for instance
    `matplotlib.pyplot.plot(history.steps, history.losses)`. Steps made one by one are added with `history(trainer.step(…))`."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.grad_norms: list[float] = []
        self.seconds: list[float] = []
        #: Only of the steps that had them: [(step, loss)].
        self.validation_losses: list[tuple[int, float]] = []

    def __repr__(self) -> str:
        losses = f", loss {self.losses[0]:.4g} to {self.losses[-1]:.4g}" if self.losses else ""
        return f"<loravk.History of {len(self.losses)} steps{losses}>"

    def __call__(self, done: Progress | StepResult) -> None:
        step = done.step if isinstance(done, Progress) else len(self.steps) + 1
        self.steps.append(step)
        self.losses.append(done.loss)
        self.grad_norms.append(done.grad_norm)
        self.seconds.append(done.seconds)
        validation = getattr(done, "validation_loss", None)
        if validation is not None:
            self.validation_losses.append((step, validation))
