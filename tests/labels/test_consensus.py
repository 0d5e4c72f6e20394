from __future__ import annotations

import random

import pandas as pd
import pytest

from dataops_assets.labels.consensus import Beliefs, of_choices


@pytest.mark.parametrize("share", [1.0, 0.99])
def test_what_nearly_always_has_the_same_answer_is_believed_where_people_agree(share: float) -> None:
    draw = random.Random(2)
    truth = ["no" if draw.random() < share else "yes" for _ in range(300)]
    other = {"no": "yes", "yes": "no"}
    rows = [(task, who, true if draw.random() < 0.95 else other[true]) for task, true in enumerate(truth) for who in ("ann", "bob", "cat")]
    answers = pd.DataFrame(rows, columns=["task", "worker", "label"])
    found = of_choices(answers, None, ["no", "yes"], Beliefs()).found
    assert (found["label"] == pd.Series(truth)).mean() > 0.97
    alike = answers.groupby("task")["label"].nunique() == 1
    assert found.loc[alike[alike].index, "posterior"].min() > 0.95
