from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dataops_assets.labels.agreement import pairwise, per_attribute, wilson


def test_wilson_bounds_of_published_examples():
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3
    lower, upper = wilson([81, 15, 0, 1], [263, 148, 20, 29])
    np.testing.assert_allclose(lower, [0.2553, 0.0624, 0.0, 0.0061], atol=5e-5)
    np.testing.assert_allclose(upper, [0.3662, 0.1605, 0.1611, 0.1718], atol=5e-5)


def test_wilson_knows_nothing_without_trials():
    lower, upper = wilson(0, 0)
    assert np.isnan(lower) and np.isnan(upper)


def test_pairs_that_agree():
    rows = [("t1", "c", "x"), ("t1", "c", "x"), ("t1", "c", "y"), ("t2", "c", "x"), ("t3", "d", "x"), ("t3", "d", "x")]
    frame = pd.DataFrame(rows, columns=["task_id", "attribute", "label"])
    found = pairwise(frame, ["task_id", "attribute"])
    assert found["t1", "c"] == pytest.approx(1 / 3)
    assert np.isnan(found["t2", "c"])
    assert per_attribute(frame).to_dict() == {"c": pytest.approx(1 / 3), "d": 1.0}
