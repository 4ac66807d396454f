"""Text by CLIP, for the families that have it: prompts to tokens, tokens to embeddings, a learnt token among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from engine.bases.family import Compute, Conditioning
from engine.bases.token_vectors import at_places, vectors_of
from engine.bases.tokenizing import TokenizerPrompts, without_token
from engine.errors import InputError


class ClipPrompts(TokenizerPrompts):
    """CLIP's tokenizer, for an encoder of so many `positions`."""

    def __init__(self, tokenizer: CLIPTokenizer, positions: int) -> None:
        super().__init__(tokenizer, min(int(tokenizer.model_max_length), positions))

    def ids(self, prompts: Sequence[str], *, vectors: int = 0) -> Tensor:
        """Token ids `(B, L)`, filled up or cut to the limit."""
        texts = [self.written(prompt, vectors) for prompt in prompts]
        padded = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.limit, return_tensors="pt"
        )  # fmt: skip
        ids: Tensor = padded.input_ids
        return ids

    def word_ids(self, word: str) -> list[int]:
        """The ids of a word alone, without the marks of start and end."""
        ids: list[int] = self.tokenizer(without_token(word), add_special_tokens=False, verbose=False).input_ids
        return ids


class ClipText:
    """CLIP's text encoder, by its last hidden state: the copies in diffusers' bases are cut to the layer meant."""

    def __init__(self, encoder: CLIPTextModel, prompts: ClipPrompts, compute: Compute) -> None:
        self._model: CLIPTextModel | None = encoder
        self.prompts, self._compute = prompts, compute
        self.token_width = int(encoder.get_input_embeddings().embedding_dim)

    @property
    def encoder(self) -> CLIPTextModel:
        if self._model is None:
            raise RuntimeError("the text encoder has been released")
        return self._model

    def encode(self, prompts: Sequence[str], token: Tensor | None = None) -> Conditioning:
        ids = self.prompts.ids(prompts, vectors=vectors_of(token)).to(self._compute.device)
        with self._compute.autocast(), token_inserted(self.encoder, ids, self.prompts.token_id, token) as known:
            return Conditioning(self.encoder(known)[0].float())

    def word_embedding(self, word: str) -> Tensor:
        """The input embedding of a word, `(D,)`; of several tokens, their mean (paper: the class word's)."""
        ids = self.prompts.word_ids(word)
        if not ids:
            raise InputError(f'the class word "{word}" is empty')
        table = self._table
        return table[torch.tensor(ids, device=table.device)].float().mean(dim=0).detach()

    def start_embedding(self, start_id: int | None, word: str) -> Tensor:
        table = self._table
        if start_id is None or start_id >= min(len(table), self.prompts.token_id):
            return self.word_embedding(word)
        return table[start_id].float().detach()

    def unload(self) -> None:
        """Nothing leaves: gradients to a token go through the encoder."""

    def release(self) -> None:
        self._model = None

    @property
    def _table(self) -> Tensor:
        weight: Tensor = self.encoder.get_input_embeddings().weight
        return weight


@contextmanager
def token_inserted(encoder: CLIPTextModel, ids: Tensor, token_id: int, token: Tensor | None) -> Iterator[Tensor]:
    """Give ids that the encoder knows, and put `token`, its vectors in turn, where they said `token_id`.

    No weight is touched.
    """
    if token is None:
        yield ids
        return
    places = ids == token_id

    def put(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return torch.where(places[..., None], at_places(token, places).to(output.dtype), output)

    handle = encoder.get_input_embeddings().register_forward_hook(put)
    try:
        yield torch.where(places, torch.zeros_like(ids), ids)
    finally:
        handle.remove()
