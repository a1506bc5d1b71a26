"""A tiny BERT learns which part of Python's help a paragraph is from, with Hugging Face's Trainer and nothing fetched.

    python examples/bert_trainer.py --epochs 4                                       # alone, as ever
    schedsearch launch --trials 24 -- python examples/bert_trainer.py --epochs 4     # which schedule is best?

Its weights begin at random and its vocabulary is made here. Lines that attach it to schedsearch end in `# +`.
"""

import argparse
import tempfile
from collections import Counter
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedTokenizerFast,
    TrainingArguments,
    set_seed,
)

import schedsearch  # +
from schedsearch.script.adapters.transformers import ScheduledTrainer as Trainer  # +

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=float, default=4)
parser.add_argument("--accumulate", type=int, default=2, help="batches an update")
given = parser.parse_args()
run = schedsearch.attach(seed=0)  # +

PARTS = ("specialnames", "compound", "types", "formatstrings", "debugger", "assignment", "execmodel", "strings")


def paragraphs() -> list[tuple[str, int]]:
    """Every paragraph of some length that is in one part only, with the part's number."""
    found = [(text, part) for part, name in enumerate(PARTS) for text in topics[name].split("\n\n")]
    times = Counter(text for text, _ in found)
    return [(text, part) for text, part in found if times[text] == 1 and len(text) > 40]


def tokenizer_of(texts: list[str]) -> PreTrainedTokenizerFast:
    """The 2,000 most frequent words of these texts, with BERT's special tokens; the same ones every time."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    times = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    known = sorted(times, key=lambda word: (-times[word], word))[:2000]
    numbers = {word: number for number, word in enumerate([*special, *known])}
    made = Tokenizer(models.WordLevel(numbers, unk_token=special[1]))
    made.normalizer, made.pre_tokenizer = normalizer, splitter
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=made, **dict(zip(names, special, strict=True)))


def accuracy(found: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())}


pairs = paragraphs()
order = np.random.default_rng(0).permutation(len(pairs))
held_out = len(pairs) // 5
tokenizer = tokenizer_of([pairs[one][0] for one in order[held_out:]])
rows: list[dict[str, Any]] = [
    {**tokenizer(pairs[one][0], truncation=True, max_length=64), "label": pairs[one][1]} for one in order
]
set_seed(run.seed)  # +
config = BertConfig(
    vocab_size=len(tokenizer),
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=128,
    max_position_embeddings=64,
    num_labels=len(PARTS),
)
with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(
        run=run,  # +
        model=BertForSequenceClassification(config),
        args=TrainingArguments(
            folder,
            num_train_epochs=given.epochs,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=64,
            gradient_accumulation_steps=given.accumulate,
            learning_rate=2e-3,
            lr_scheduler_type="linear",
            eval_strategy="epoch",
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            seed=run.seed,  # +
        ),
        train_dataset=rows[held_out:],
        eval_dataset=rows[:held_out],
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=accuracy,
    )
    trainer.model_accepts_loss_kwargs = False  # its loss is a mean of the batch: divide it by the batches of an update
    trainer.train()
