"""The loop: steps, checkpoints, validation, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from multiview.errors import ModelError
from multiview.train.checkpoint import pack, unpack
from multiview.train.config import TrainConfig
from multiview.train.design import Design
from multiview.train.graph_net import GraphNet
from multiview.train.memory import keep_freed_memory
from multiview.train.schedule import ema_decay, learning_rate, mix_into
from multiview.train.task import AnyScore, Examples, task_of

__all__ = ["Result", "Trainer", "pick_device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What training gave.

    Parameters
    ----------
    tensors
        The best weights, by their names in the graph.
    score, step
        How they did on the validation hands, and after which step.
    steps
        Taken in all.
    history
        One entry a validation.
    """

    tensors: dict[str, NDArray[np.float32]]
    score: AnyScore
    step: int
    steps: int
    history: list[dict[str, float]]


def pick_device(wanted: str) -> torch.device:
    """Choose where to compute.

    Raises
    ------
    ModelError
        If CUDA is wanted and there is none.
    """
    have = torch.cuda.is_available()
    if wanted == "cuda" and not have:
        raise ModelError("this machine has no CUDA device for torch", "use --device cpu")
    return torch.device("cuda" if have and wanted != "cpu" else "cpu")


class Trainer:
    """A training that can be stopped at any step and gone on with.

    Parameters
    ----------
    design, config
        What is trained, and how.
    crops, held
        Hands to learn, and hands to validate on; whole pictures of them for the palm network.
    key
        Digest of all that determines the result; a checkpoint of another is refused.
    keypoints
        Their names, kept in the checkpoint for who starts from it.
    """

    def __init__(
        self,
        design: Design,
        config: TrainConfig,
        crops: Examples,
        held: Examples,
        key: str,
        *,
        keypoints: tuple[str, ...] = (),
    ) -> None:
        keep_freed_memory()
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        self._design, self._config, self._key = design, config, key
        self._task, self._keypoints = task_of(design, config, crops, held), keypoints
        self._device = pick_device(config.device)
        self._net = self._ready(GraphNet(design.model))
        self._kept = self._ready(GraphNet(design.model)).eval() if design.keeps else None
        self._run: nn.Module = self._net
        if torch.cuda.device_count() > 1 and self._device.type == "cuda":
            self._run = nn.DataParallel(self._net)
        self._optimiser = self._make_optimiser()
        self._mean = {n: t.clone() for n, t in self._net.named_tensors().items()}
        self._step, self._history = 0, list[dict[str, float]]()
        self._best: dict[str, Any] = {}

    def _ready(self, net: GraphNet) -> GraphNet:
        # channels last: a third less time for separable convolutions on a CPU
        ready: GraphNet = net.to(device=self._device, memory_format=torch.channels_last)
        return ready

    def _make_optimiser(self) -> torch.optim.Optimizer:
        """Weights decay, biases and scales do not; what was trained before moves less."""
        groups: dict[tuple[float, float], list[Tensor]] = {}
        parameters = dict(self._net.named_parameters())
        for place, name in self._net.names_of(parameters).items():
            rate = self._config.pretrained_rate if name in self._design.trained else 1.0
            rate *= self._design.rate
            decay = self._config.weight_decay if parameters[place].ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameters[place])
        parts = [{"params": p, "rate": r, "weight_decay": d} for (r, d), p in groups.items()]
        return torch.optim.AdamW(parts, lr=self._config.lr)

    def run(
        self,
        save: Callable[[bytes], None],
        report: Callable[[int, int, float, AnyScore | None], None],
        *,
        every_s: float = 30.0,
    ) -> Result:
        """Train to the end, or until validation stops rising.

        Parameters
        ----------
        save
            Keeps a checkpoint; called at least so often, and before anything is raised.
        report
            Called after every step with its number, that of all, the loss, and a new score.
        every_s
            Seconds between checkpoints.

        Raises
        ------
        ModelError
            If the loss is no number: the last good state is saved before.
        """
        saved, steps = time.monotonic(), self._config.steps
        left = range(self._step, steps if not self._waited() else self._step)
        self._net.train()
        for batch in self._task.batches(left):
            loss = self._learn(batch, save)
            self._step += 1
            score = self._validate() if self._is_due() else None
            report(self._step, steps, loss, score)
            if self._waited():
                break
            if time.monotonic() - saved >= every_s:
                save(self.state())
                saved = time.monotonic()
        save(self.state())
        return self._result()

    def _is_due(self) -> bool:
        return self._step % self._config.validate_every == 0 or self._step == self._config.steps

    def _waited(self) -> bool:
        """Whether so many validations brought nothing better."""
        if not self._best:
            return False
        since = sum(entry["step"] > self._best["step"] for entry in self._history)
        return bool(since >= self._config.patience)

    def _learn(self, batch: Any, save: Callable[[bytes], None]) -> float:
        """Take one step; the weights stay as they were if it cannot be taken."""
        config = self._config
        rate = learning_rate(self._step, config.steps, config.lr, config.warmup)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["rate"]
        self._optimiser.zero_grad(set_to_none=True)
        before = self._net.statistics()
        loss = self._loss(batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._net.parameters(), config.clip)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            self._net.assign(before)
            save(self.state())
            raise ModelError(
                f"the loss is no number any more at step {self._step + 1} (learning rate "
                f"{rate:g}); the state before it is kept",
                "train into another --out folder with a smaller --lr, from the start or "
                "from that state: --init OUT.partial/checkpoint.pt",
            )
        self._optimiser.step()
        mix_into(self._mean, self._net.named_tensors(), ema_decay(self._step, config.ema))
        return float(loss.detach())

    def _loss(self, batch: Any) -> Tensor:
        image = torch.from_numpy(batch.image).to(self._device, memory_format=torch.channels_last)
        design = self._design
        half = self._config.amp and self._device.type == "cuda"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            found = self._run(image, design.learnt)
            with torch.no_grad():
                kept = self._kept(image, design.learnt) if self._kept is not None else {}
        values = [found[name] for name in design.learnt]
        old = [kept[name] for name in design.learnt if kept]
        return self._task.loss(values, old, batch, self._device)

    def _validate(self) -> AnyScore:
        now = {n: t.clone() for n, t in self._net.named_tensors().items()}
        self._net.assign(self._mean)
        score = self._task.validate(self._net, self._device)
        self._history.append({"step": self._step, **asdict(score)})
        if not self._best or score.rank > self._task.score(**self._best["score"]).rank:
            tensors = {n: t.cpu().clone() for n, t in self._mean.items()}
            self._best = {"step": self._step, "score": asdict(score), "tensors": tensors}
        self._net.assign(now)
        return score

    def state(self) -> bytes:
        """All that the rest of the training depends on."""
        return pack(
            {
                "key": self._key,
                "keypoints": list(self._keypoints),
                "step": self._step,
                "tensors": self._net.named_tensors(),
                "mean": self._mean,
                "optimiser": self._optimiser.state_dict(),
                "best": self._best,
                "history": self._history,
                "random": torch.get_rng_state(),
            }
        )

    def restore(self, data: bytes, where: str) -> int:
        """Go on from `state`; returns the step.

        Raises
        ------
        ModelError
            If it is damaged or of another training.
        """
        state = unpack(data, where)
        if state["key"] != self._key:
            raise ModelError(
                f"{where} belongs to a training of other data or another configuration",
                "train into another --out folder, or give it as --init to start from its weights",
            )
        self._net.assign(state["tensors"])
        self._mean = {n: t.to(self._device) for n, t in state["mean"].items()}
        self._optimiser.load_state_dict(state["optimiser"])
        self._best, self._history, self._step = state["best"], state["history"], state["step"]
        torch.set_rng_state(state["random"])
        return self._step

    def _result(self) -> Result:
        best = self._best
        return Result(
            tensors={n: t.numpy() for n, t in best["tensors"].items()},
            score=self._task.score(**best["score"]),
            step=best["step"],
            steps=self._step,
            history=self._history,
        )
