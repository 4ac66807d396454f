"""Text by UMT5, whose encoder is larger than many denoisers: it is loaded for what was never encoded, then let go.

Every prompt is encoded by itself, without filling up, so that it is the same bytes in whatever company, and kept in
the user's cache by what tells that the encoder's files are still the same, its precision and the prompt's tokens.

A learnt token is a row of the encoder's output, or several: learning it needs no encoder. While the prompt is encoded,
the first of T5's sentinels stands there, by which UMT5 was trained to read "something is left out here"
(arXiv 1910.10683, section 3.1.4).
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import UMT5EncoderModel

from engine.bases.family import Compute, Conditioning
from engine.bases.token_vectors import at_places, vectors_of
from engine.bases.tokenizing import TokenizerPrompts
from engine.bases.weights import weights_of
from engine.errors import InputError
from engine.freeing import give_back
from engine.hash_cache import cached_tensor, stamps_of

_SENTINEL = "<extra_id_0>"


class Umt5Prompts(TokenizerPrompts):
    """UMT5's tokenizer; prompts have up to `limit` tokens."""

    def stand_in(self, vocabulary: int) -> int:
        """What the encoder, which knows so many ids, reads where the learnt token stands."""
        sentinel = int(self.tokenizer.convert_tokens_to_ids(_SENTINEL))
        return sentinel if sentinel < vocabulary else int(self.tokenizer.unk_token_id)

    def ids(self, prompt: str, *, vectors: int = 0) -> list[int]:
        """Token ids with the mark of the end, cut to the limit."""
        ids: list[int] = self.tokenizer(
            self.written(prompt, vectors), truncation=True, max_length=self.limit, verbose=False
        ).input_ids
        return ids

    def cleaned(self, prompt: str) -> str:
        """As diffusers' pipeline cleans it, but for mending of text that was decoded wrongly."""
        return re.sub(r"\s+", " ", html.unescape(html.unescape(prompt))).strip()


class Umt5Text:
    """Prompts to the encoder's last hidden state, zero after each one's end, as Wan was trained.

    `load` reads the encoder, whose files lie in `folder`; its states are `token_width` wide.
    """

    def __init__(
        self,
        load: Callable[[], UMT5EncoderModel],
        prompts: Umt5Prompts,
        folder: Path,
        token_width: int,
        compute: Compute,
    ) -> None:
        self.prompts, self.token_width = prompts, token_width
        self._load, self._compute = load, compute
        self._model: UMT5EncoderModel | None = None
        self._released = False
        self._rows: dict[tuple[int, ...], Tensor] = {}
        stamps = stamps_of([("text_encoder", file) for file in weights_of(folder).paths])
        self._encoder_told = [stamps, str(compute.dtype), compute.device.type]

    def encode(self, prompts: Sequence[str], token: Tensor | None = None) -> Conditioning:
        filled = []
        for prompt in prompts:
            ids = tuple(self.prompts.ids(prompt, vectors=vectors_of(token)))
            rows = self._encoded(ids)
            if token is not None:
                places = torch.tensor(ids, device=rows.device) == self.prompts.token_id
                rows = torch.where(places[:, None], at_places(token, places).to(rows), rows)
            filled.append(F.pad(rows, (0, 0, 0, self.prompts.limit - len(rows))))
        return Conditioning(torch.stack(filled))

    def start_embedding(self, start_id: int | None, word: str) -> Tensor:
        """Where a new token starts: the mean of the class word's rows. A `start_id` is one of CLIP's vocabulary."""
        ids = tuple(self.prompts.ids(word))
        if len(ids) < 2:
            raise InputError(f'the class word "{word}" is empty')
        return self._encoded(ids)[:-1].mean(dim=0)

    def unload(self) -> None:
        self._model = None
        give_back(self._compute.device)

    def release(self) -> None:
        self._model, self._released, self._rows = None, True, {}

    def _encoded(self, ids: tuple[int, ...]) -> Tensor:
        """The states `(L, D)` of one prompt, in float32 on the device."""
        if self._released:
            raise RuntimeError("the text encoder has been released")
        if ids not in self._rows:
            key = hashlib.sha256(json.dumps([self._encoder_told, ids]).encode()).hexdigest()
            rows = cached_tensor("prompts", key, (len(ids), self.token_width), lambda: self._computed(ids))
            self._rows[ids] = rows.to(self._compute.device)
        return self._rows[ids]

    @torch.no_grad()
    def _computed(self, ids: tuple[int, ...]) -> Tensor:
        if self._model is None:
            self._model = self._load()
        stand_in = self.prompts.stand_in(self._model.config.vocab_size)
        read = [stand_in if token == self.prompts.token_id else token for token in ids]
        with self._compute.autocast():
            states: Tensor = self._model(torch.tensor([read], device=self._compute.device)).last_hidden_state[0]
        return states.float().cpu()
