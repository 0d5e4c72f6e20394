"""Signs of work that wasn't done as asked, each with its evidence. A sign is a question to a person, never a verdict on labels.

Every test compares a worker with what the same batch makes of the others, and says how sure it is. The tests of one sign are corrected
together (Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57:289-300), so that many workers don't make false alarms by their number.
Signs are grouped by what they look at: the time, the answers, the course of the work, the gold. Only signs of two groups ask for a look.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataops_assets.labels import copying
from dataops_assets.labels.agreement import wilson

Floats = npt.NDArray[np.float64]

FALSE_DISCOVERY = 0.01  # share of false ones wanted among the flags of one sign
RAPID, RAPID_SHARE = 0.3, 0.1  # of the usual time (normative thresholds, Wise and Ma 2012: 10 to 30 %); so many rapid pictures are nothing
FOLLOWS = 0.5  # a wrong pre-label that is accepted less often than this may be a hard picture
FALL = 0.1  # share of right answers lost from beginning to end
LEAST_GOLD_GAP = 0.1
GROUP = {
    "too_fast": "time", "fast_on_gold": "time", "same_answer": "answers", "copies": "answers", "follows_prelabel": "answers",
    "gets_worse": "course", "better_on_gold": "gold",
}  # fmt: skip
COLUMNS = [
    "worker_id", "signal", "group", "attribute", "other", "n", "k", "value", "lower", "upper", "expected", "p_value", "q_value",
    "sentence", "examples",
]  # fmt: skip
_EXAMPLES = 5


def false_discovery(p_values: npt.ArrayLike) -> Floats:
    """Benjamini-Hochberg adjusted p-values (q-values) of tests that were made together; NaN stays NaN and counts as no test."""
    p = np.asarray(p_values, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    ranked = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum.accumulate(ranked[::-1])[::-1].clip(max=1)
    return q


def flags(answers: pd.DataFrame) -> pd.DataFrame:
    """Every sign of every worker of a batch that chance and the others' work don't explain.

    Args:
        answers: `references.compare` rows of one vendor; with a column `prelabel`, what the page showed at the start (null: nothing).

    Returns:
        Columns of COLUMNS, one row a flag, surest first: `k` of `n` cases, their share `value` with its Wilson bounds, what was
        `expected`, the `other` worker of a pair, a sentence, and up to five `examples` (task ids joined by |, never for a vendor).
    """
    frames = [too_fast(answers), same_answer(answers), copies(answers), gets_worse(answers), follows_prelabel(answers)]
    frames += [better_on_gold(answers), fast_on_gold(answers)]
    found = [_judged(frame) for frame in frames if len(frame)]
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat(found, ignore_index=True)
    # two who always give the same answer agree without copying
    constant = set(rows.loc[rows["signal"] == "same_answer", "worker_id"])
    rows = rows[(rows["signal"] != "copies") | ~(rows["worker_id"].isin(constant) & rows["other"].isin(constant))]
    rows["group"] = rows["signal"].map(GROUP)
    return rows.sort_values(["q_value", "p_value", "signal", "worker_id", "attribute", "other"], ignore_index=True)[COLUMNS]


def asks_for_a_look(found: pd.DataFrame) -> set[str]:
    """Workers with signs of two groups: one sign has innocent explanations, two that don't look at the same thing have fewer."""
    groups = found.groupby("worker_id")["group"].nunique()
    return set(groups.index[groups > 1])


def _judged(tests: pd.DataFrame) -> pd.DataFrame:
    """The tests that are sure enough after correction for their number, and large enough to matter."""
    tests = tests.assign(q_value=false_discovery(tests["p_value"]))
    made = tests[(tests["q_value"] <= FALSE_DISCOVERY) & tests["is_large"]]
    lower, upper = wilson(made["k"], made["n"])
    return made.assign(value=made["k"] / made["n"], lower=lower, upper=upper).reindex(columns=COLUMNS)


def _tests(rows: pd.DataFrame, signal: str) -> pd.DataFrame:
    made = rows.assign(signal=signal)
    for column, default in (("attribute", "-"), ("other", ""), ("examples", "")):
        if column not in made:
            made[column] = default
    return made


def _examples(rows: pd.DataFrame, by: list[str]) -> pd.Series:
    """Task ids of the first cases of each group, joined by |."""
    some = rows.drop_duplicates([*by, "task_id"]).groupby(by, sort=True).head(_EXAMPLES)
    return some.groupby(by, sort=True)["task_id"].agg("|".join)


def too_fast(answers: pd.DataFrame, least: int = 10) -> pd.DataFrame:
    """Pictures on which most answers took less than 30 % of the usual time of their question: more than 10 % of them, exact binomial."""
    from scipy.stats import binom

    rows = answers.loc[answers["seconds"].notna() & (answers["seconds"] > 0), ["worker_id", "task_id", "attribute", "seconds"]]
    if rows.empty:
        return pd.DataFrame()
    own = rows.groupby(["attribute", "worker_id"])["seconds"].median()
    usual = own.groupby(level=0).median()  # of workers, so that one who did half of the batch isn't the measure
    rows = rows.assign(is_rapid=rows["seconds"] < RAPID * rows["attribute"].map(usual))
    pictures = rows.groupby(["worker_id", "task_id"], sort=True)["is_rapid"].mean() > 0.5
    made = pictures.groupby(level=0).agg(n="size", k="sum").reset_index()
    made = made[made["n"] >= least]
    pace = (rows["seconds"] / rows["attribute"].map(usual)).groupby(rows["worker_id"]).median().rename("pace")
    rapid = pictures[pictures].reset_index()
    made = made.join(pace, on="worker_id").join(_examples(rapid, ["worker_id"]).rename("examples"), on="worker_id")
    made["p_value"] = binom.sf(made["k"] - 1, made["n"], RAPID_SHARE)
    made = made.assign(expected=RAPID_SHARE, is_large=True)
    made["sentence"] = [
        f"{k:,} of {n:,} pictures were answered in less than {RAPID:.0%} of the usual time; the median is {pace:.0%} of it"
        for k, n, pace in zip(made["k"], made["n"], made["pace"], strict=True)
    ]
    return _tests(made, "too_fast")


def same_answer(answers: pd.DataFrame, least: int = 20) -> pd.DataFrame:
    """One answer to a question again and again: nearer to always than to what others answer on the same pictures, exact binomial."""
    from scipy.stats import binom

    rows = answers.loc[answers["label"].notna(), ["worker_id", "task_id", "attribute", "label"]]
    given = rows.groupby(["worker_id", "attribute", "label"], sort=True).size().rename("k").reset_index()
    if given.empty:
        return pd.DataFrame()
    given["n"] = given.groupby(["worker_id", "attribute"])["k"].transform("sum")
    top = given.sort_values(["k", "label"], ascending=[False, True], kind="stable").drop_duplicates(["worker_id", "attribute"])
    top = top[(top["n"] >= least) & (2 * top["k"] > top["n"])]
    if top.empty:
        return pd.DataFrame()
    # share of the others who gave that label on the pictures of this worker
    mine = rows.merge(top[["worker_id", "attribute", "label"]].rename(columns={"label": "top"}), on=["worker_id", "attribute"])
    votes = rows.groupby(["task_id", "attribute"], sort=False).size().rename("votes")
    same = rows.groupby(["task_id", "attribute", "label"], sort=False).size().rename("same").rename_axis(["task_id", "attribute", "top"])
    mine = mine.join(votes, on=["task_id", "attribute"]).join(same, on=["task_id", "attribute", "top"])
    others = mine["votes"] - 1
    of_others = (mine["same"].fillna(0) - (mine["label"] == mine["top"])) / others.where(others > 0)
    seen = of_others.groupby([mine["worker_id"], mine["attribute"]]).mean().rename("expected")
    top = top.join(seen, on=["worker_id", "attribute"])
    top = top[top["expected"].notna()]  # nobody else answered these pictures: nothing to compare with
    middle = (1 + top["expected"]) / 2
    unlike = mine[mine["label"] == mine["top"]]
    top = top.join(_examples(unlike, ["worker_id", "attribute"]).rename("examples"), on=["worker_id", "attribute"])
    top = top.assign(p_value=binom.sf(top["k"] - 1, top["n"], middle), is_large=top["k"] / top["n"] - top["expected"] >= 0.1)
    top["sentence"] = [
        f"{name} was answered {label} on {k:,} of {n:,} pictures; others say so of {expected:.0%} of them"
        for name, label, k, n, expected in zip(top["attribute"], top["label"], top["k"], top["n"], top["expected"], strict=True)
    ]
    return _tests(top, "same_answer")


def copies(answers: pd.DataFrame, least: int = 20) -> pd.DataFrame:
    """Pairs whose answers agree beyond what the skill of both explains, see `copying`; a row for each of the two."""
    rows = answers[answers["label"].notna()]
    pairs = copying.pairs(rows, least)
    if pairs.empty:
        return pd.DataFrame()
    # shared mistakes are shown of what is sure enough only: looking them up for all pairs would take long
    sure = pairs[(false_discovery(pairs["p_value"]) <= FALSE_DISCOVERY) & pairs["is_large"]]
    told = {pair: copying.shared_errors(rows, *pair) for pair in zip(sure["first"], sure["second"], strict=True)}
    pairs["sentence"], pairs["examples"] = "", ""
    for place in sure.index:
        row = pairs.loc[place]
        both, same, tasks = told[row["first"], row["second"]]
        shared = f"; where both differ from what was settled, {same:,} of {both:,} times they give the same wrong answer" if both else ""
        pairs.loc[place, "sentence"] = (
            f"the same answer to {row['k']:,} of {row['n']:,} shared questions, {row['expected']:.0%} follow from how each agrees with "
            f"others{shared}"
        )
        pairs.loc[place, "examples"] = "|".join(tasks[:_EXAMPLES])
    ways = [
        pairs.rename(columns={"first": "worker_id", "second": "other"}),
        pairs.rename(columns={"second": "worker_id", "first": "other"}),
    ]
    # both rows of a pair are one test: q-values don't change when each test stands there twice
    return _tests(pd.concat(ways, ignore_index=True), "copies")


def gets_worse(answers: pd.DataFrame, least: int = 40) -> pd.DataFrame:
    """A falling share of right answers in the order of submission: slope of a regression over pictures, one-sided t-test."""
    from scipy.stats import t as student

    rows = answers[answers["is_judged"].astype(bool) & answers["submitted_at"].notna()]
    if rows.empty:
        return pd.DataFrame()
    # questions of one picture go wrong together: the picture is what is counted
    each = rows.groupby(["worker_id", "task_id"], sort=True).agg(right=("is_right", "mean"), at=("submitted_at", "max")).reset_index()
    each = each.sort_values(["worker_id", "at", "task_id"], kind="stable")
    n = each.groupby("worker_id")["right"].transform("size")
    place = (each.groupby("worker_id").cumcount() + 0.5) / n - 0.5
    gap = each["right"] - each.groupby("worker_id")["right"].transform("mean")
    sums = pd.DataFrame({"worker_id": each["worker_id"], "xx": place**2, "xy": place * gap, "yy": gap**2}).groupby("worker_id").sum()
    sums["n"] = each.groupby("worker_id").size()
    sums = sums[(sums["n"] >= least) & (sums["yy"] > 0)]
    slope = sums["xy"] / sums["xx"]
    error = np.sqrt(np.maximum(sums["yy"] - slope * sums["xy"], 1e-12) / (sums["n"] - 2) / sums["xx"])
    made = pd.DataFrame({"p_value": student.cdf(slope / error, sums["n"] - 2), "is_large": slope <= -FALL}, index=sums.index)
    early, late = (each[side].groupby("worker_id")["right"].agg(["size", "sum"]).reindex(made.index) for side in (place < 0, place >= 0))
    made = made.assign(n=late["size"], k=late["sum"], expected=early["sum"] / early["size"]).reset_index()
    tail = each[(place > 0) & (each["right"] < 1)]
    made = made.join(_examples(tail, ["worker_id"]).rename("examples"), on="worker_id")
    made["examples"] = made["examples"].fillna("")
    made["sentence"] = [
        f"{early:.0%} right in the first half, {k / n:.0%} in the second ({n:,} pictures)"
        for early, k, n in zip(made["expected"], made["k"], made["n"], strict=True)
    ]
    return _tests(made, "gets_worse")


def follows_prelabel(answers: pd.DataFrame, least: int = 8) -> pd.DataFrame:
    """Wrong pre-labels that were taken over: more than half of them, exact binomial."""
    from scipy.stats import binom

    if "prelabel" not in answers:
        return pd.DataFrame()
    rows = answers[answers["prelabel"].notna() & answers["right"].notna() & (answers["prelabel"] != answers["right"])]
    rows = rows.assign(is_same=rows["label"] == rows["prelabel"])
    made = rows.groupby("worker_id", sort=True).agg(n=("is_same", "size"), k=("is_same", "sum")).reset_index()
    made = made[made["n"] >= least]
    made = made.join(_examples(rows[rows["is_same"]], ["worker_id"]).rename("examples"), on="worker_id")
    made["examples"] = made["examples"].fillna("")
    made = made.assign(p_value=binom.sf(made["k"] - 1, made["n"], FOLLOWS), expected=FOLLOWS, is_large=True)
    made["sentence"] = [f"{k:,} of {n:,} wrong pre-labels were taken over" for k, n in zip(made["k"], made["n"], strict=True)]
    return _tests(made, "follows_prelabel")


def better_on_gold(answers: pd.DataFrame, least: int = 10) -> pd.DataFrame:
    """Right on gold beyond what the same person's other answers and the others' gap between the two lead to expect.

    Gold may be easier than the rest, or harder: the odds ratio of the others (Mantel and Haenszel 1959), at the end of its 95 % interval
    that favours the worker, is what the worker's own is compared with, given the margins (noncentral hypergeometric distribution).
    """
    rows = answers[answers["is_judged"].astype(bool)]
    if rows.empty:
        return pd.DataFrame()
    side = np.where(rows["on_gold"].astype(bool), "gold", "rest")
    counts = rows.groupby([rows["worker_id"], side])["is_right"].agg(["size", "sum"]).unstack(fill_value=0)
    if not {("size", "gold"), ("size", "rest")} <= set(counts.columns):
        return pd.DataFrame()
    n, right = counts["size"], counts["sum"]
    a, b = right["gold"].astype(float), (n["gold"] - right["gold"]).astype(float)
    c, d = right["rest"].astype(float), (n["rest"] - right["rest"]).astype(float)
    total = (n["gold"] + n["rest"]).astype(float)
    # of the others, each table counted once more as half a case in each cell
    over, under = (a * d / total).sum() - a * d / total + 0.5, (b * c / total).sum() - b * c / total + 0.5
    spread = np.sqrt(sum(1 / (cell.sum() - cell + 0.5) for cell in (a, b, c, d)))
    odds = over / under * np.exp(1.645 * spread)
    made = pd.DataFrame({"n": n["gold"], "k": right["gold"], "rest": right["rest"] / n["rest"].clip(lower=1), "of": n["rest"]})
    is_measured = (made["n"] >= least) & (made["of"] >= 2 * least)
    made["p_value"] = [
        _noncentral_tail(int(k), int(on), int(off), int(whole), float(ratio)) if is_one else np.nan
        for k, on, off, whole, ratio, is_one in zip(a, n["gold"], n["rest"], a + c, odds, is_measured, strict=True)
    ]
    made = made[is_measured].assign(expected=made["rest"]).reset_index()
    made["is_large"] = made["k"] / made["n"] - made["rest"] >= LEAST_GOLD_GAP
    made["sentence"] = [
        f"{k:,} of {n:,} answers on gold are right, and {rest:.0%} of {of:,} others; the other workers don't show that gap"
        for k, n, rest, of in zip(made["k"], made["n"], made["rest"], made["of"], strict=True)
    ]
    return _tests(made, "better_on_gold")


def _noncentral_tail(k: int, on: int, off: int, whole: int, odds: float) -> float:
    """Chance of k or more right ones among `on`, of `whole` right ones among on + off, where the odds ratio is `odds`."""
    from scipy.special import gammaln

    support = np.arange(max(0, whole - off), min(on, whole) + 1)
    log = -gammaln(support + 1) - gammaln(on - support + 1) - gammaln(whole - support + 1) - gammaln(off - whole + support + 1)
    log = log + support * np.log(odds)
    weight = np.exp(log - log.max())
    return float(weight[support >= k].sum() / weight.sum())


def fast_on_gold(answers: pd.DataFrame, least: int = 5) -> pd.DataFrame:
    """Gold answered faster than the same person's other pictures, beyond the gap all have: Mann and Whitney 1947 over pictures."""
    from scipy.stats import norm

    rows = answers[answers["seconds"].notna() & (answers["seconds"] > 0)]
    if rows.empty:
        return pd.DataFrame()
    own = rows.groupby(["worker_id", "attribute"])["seconds"].transform("median")
    rows = rows.assign(log=np.log(rows["seconds"] / own))
    # of a picture, because its questions are answered in one go
    each = rows.groupby(["worker_id", "task_id"], sort=True).agg(log=("log", "mean"), on_gold=("on_gold", "max")).reset_index()
    each["on_gold"] = each["on_gold"].astype(bool)
    middle = each.groupby(["worker_id", "on_gold"])["log"].median().unstack()
    if not {True, False} <= set(middle.columns):
        return pd.DataFrame()
    usual = float((middle[True] - middle[False]).median())  # gold may be easier for all
    each["log"] = each["log"] - np.where(each["on_gold"], usual, 0.0)
    each["rank"] = each.groupby("worker_id")["log"].rank()
    gold = each[each["on_gold"]].groupby("worker_id").agg(n=("rank", "size"), ranks=("rank", "sum"))
    made = gold.join(each.groupby("worker_id").size().rename("total"))
    n, rest = made["n"], made["total"] - made["n"]
    u = made["ranks"] - n * (n + 1) / 2
    spread = np.sqrt(n * rest * (made["total"] + 1) / 12)
    made["p_value"] = norm.cdf((u - n * rest / 2 + 0.5) / spread.where(spread > 0))
    ratio = np.exp(middle[True] - middle[False])
    quicker = each[each["on_gold"] & (each["log"] < np.log(0.5))].groupby("worker_id").size()
    made = made.assign(k=quicker.reindex(made.index, fill_value=0), ratio=ratio, expected=np.exp(usual))
    made = made[(made["n"] >= least) & (rest >= 2 * least)].reset_index()
    made["is_large"] = made["ratio"] <= 0.6 * made["expected"]
    made["sentence"] = [
        f"gold takes {ratio:.0%} of the time of other pictures ({n:,} of them); for the other workers it is {usual:.0%}"
        for ratio, n, usual in zip(made["ratio"], made["n"], made["expected"], strict=True)
    ]
    return _tests(made, "fast_on_gold")
