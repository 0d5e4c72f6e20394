from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform
from dataops_assets.stages import auditing, batch_verdict
from dataops_assets.stages.label_quality import assess
from dataops_assets.stages.labeled_batches import accept
from tests.conftest import changed
from tests.labels.world import COLOUR, KEY, make_csv, make_spec, make_tasks

SPEC = make_spec(COLOUR)


def judged(n: int = 40, drawn: int = 10, most_wrong: int | None = 0, batch: str = "production-001", **columns: object) -> pd.DataFrame:
    """Quality of a batch in which all was accepted and some was drawn."""
    rows = pd.DataFrame({"image_id": [f"{batch}-{number:03d}" for number in range(n)], "is_audit": [place < drawn for place in range(n)]})
    return conform(
        rows.assign(
            **{
                "batch_id": batch, "kind": batch.split("-")[0], "task_id": "t" + rows["image_id"], "attribute": "colour", "object_id": "",
                "label": "red", "posterior": 0.99, "n_labels": 2, "n_wanted": 2, "decision": "accept", "is_gold": False, "vendor": "acme",
                "n_more": 0, "inspection": "normal", "most_wrong": most_wrong, **columns,
            }
        ),
        CONTRACTS["label_quality"],
    )  # fmt: skip


def answered(quality: pd.DataFrame, n: int, wrong: int = 0, batch: str = "adjudication-001") -> pd.DataFrame:
    """What our own people said of the first of those drawn."""
    rows = quality[quality["is_audit"].astype(bool)].head(n)
    labels = ["blue" if place < wrong else "red" for place in range(len(rows))]
    return rows.assign(batch_id=batch, kind="adjudication", label=labels, is_audit=False)


def verdict(quality: pd.DataFrame, answers: pd.DataFrame, spec=SPEC, **other: object) -> batch_verdict.Verdict:
    rows = auditing.audits(quality, auditing.audited(quality, answers))
    return batch_verdict.verdict(str(quality["batch_id"].iloc[0]), quality, rows, spec, **other)  # type: ignore[arg-type]


def with_gold(quality: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """The same with five gold pictures, all answered right."""
    measured = {"gold_label": "red", "gold_correct": 2, "gold_accuracy": 1.0, "gold_lower": 0.9, "gold_upper": 1.0}
    gold = judged(5, 0, None, is_gold=True, **(measured | columns))
    return pd.concat([quality, gold.assign(task_id="g" + gold["image_id"])], ignore_index=True)


def test_a_batch_whose_sample_is_right_is_paid() -> None:
    quality = judged()
    said = verdict(quality, answered(quality, 10), spent=12.0)
    assert said.pay == "pay" and said.sentence.startswith("Pay: 40 of 40 labels are accepted, and 0 of 10 audited labels are wrong")
    assert (said.counts, said.audit.n, said.money["cost so far"]) == ({"accept": 40, "rework": 0, "adjudicate": 0}, 10, 12.0)
    assert said.plan is not None and (said.plan.n, said.plan.most_wrong) == (10, 0)


def test_one_wrong_label_too_many_and_it_is_not() -> None:
    quality = judged()
    assert verdict(quality, answered(quality, 10, wrong=1)).sentence == "Don't pay: 1 of 10 audited labels are wrong and 0 may be."
    assert verdict(judged(most_wrong=1), answered(quality, 10, wrong=1)).pay == "pay"


def test_the_audit_of_what_was_asked_again_decides_too() -> None:
    spec = make_spec(COLOUR, batch_size=40)
    tasks = make_tasks(spec, 40).assign(batch_id="rework-001", kind="rework")
    rows = [f"{task},colour,red,,,,,{who},," for task in tasks["task_id"] for who in "abc"]
    quality = assess(accept([("acme", "a.csv", make_csv(*rows))], tasks, spec, KEY), tasks, None, spec, key=KEY)
    drawn, most = int(quality["is_audit"].sum()), int(quality["most_wrong"].iloc[0])
    assert 0 < drawn < 40 and 1 <= most < drawn / 4
    said = verdict(quality, answered(quality, drawn, most))
    assert said.pay == "pay" and said.plan is not None and said.plan.consumers_risk > 0.05  # it says how little so few labels tell
    bad = verdict(quality, answered(quality, drawn, most + 1))
    assert bad.sentence == f"Don't pay: {most + 1} of {drawn} audited labels are wrong and {most} may be."


@pytest.mark.parametrize("audit", ["required", "optional"])
@pytest.mark.parametrize(("answers", "wrong", "pay"), [(0, 0, "not yet"), (4, 0, "not yet"), (4, 1, "don't pay"), (10, 0, "pay")])
def test_what_was_drawn_is_waited_for_before_money_goes_out(audit: str, answers: int, wrong: int, pay: str) -> None:
    quality = judged()
    said = verdict(with_gold(quality), answered(quality, answers, wrong), changed(SPEC, quality={"audit": audit}))
    assert said.pay == pay
    assert bool(said.unmeasured) is (pay == "not yet")


def test_a_batch_that_is_not_audited_is_paid_by_its_gold_and_the_page_says_what_nobody_knows() -> None:
    off = changed(SPEC, quality={"audit": "off"})
    quality = judged(drawn=0, most_wrong=None, inspection=None)
    said = verdict(with_gold(quality), quality.head(0), off)
    assert said.pay == "pay" and "(not measured: nothing of it is audited)" in said.sentence and "10 of 10 answers on gold" in said.sentence
    unknown = verdict(quality, quality.head(0), off)
    assert unknown.sentence == (
        "Don't pay yet: no gold has measured it, and nothing of it is audited (`quality.audit: off`: with `optional`, "
        "materialize `label_quality` of production-001 again)."
    )


@pytest.mark.parametrize("gold", ["none", "all known"])
def test_a_batch_that_nothing_has_checked_is_not_paid_yet(gold: str) -> None:
    quality = judged() if gold == "none" else with_gold(judged(), gold_correct=None, gold_accuracy=None, gold_lower=None)
    said = verdict(quality, answered(quality, 4))
    assert said.sentence == (
        "Don't pay yet: no gold has measured it, and 6 of 10 audited labels are still to be answered by our own people."
    )
    assert verdict(quality, answered(quality, 10)).pay == "pay"


def test_a_sample_of_which_nobody_has_looked_at_anything_has_not_passed() -> None:
    """However many of so few may be wrong."""
    row = {"size": 3, "drawn": 2, "n": 0, "wrong": 0, "most_wrong": 2}
    assert auditing.was_accepted(row) is None and auditing.was_accepted(row | {"drawn": 0}) is None
    assert auditing.was_accepted(row | {"n": 1}) is True
    quality = judged(3, 2, most_wrong=2, batch="rework-001")
    assert verdict(quality, quality.head(0)).pay == "not yet"
    assert verdict(quality, answered(quality, 1)).pay == "pay"


def test_a_rework_batch_of_which_none_was_drawn_is_paid_by_the_gold_of_the_batch_it_comes_from() -> None:
    quality, parent = judged(3, 0, most_wrong=0, batch="rework-001"), with_gold(judged())
    assert verdict(quality, quality.head(0)).pay == "not yet"
    said = verdict(quality, quality.head(0), before=parent)
    assert said.pay == "pay" and "not measured: nothing of it is audited" in said.sentence
    assert "10 of 10 answers on gold of the batches that it comes from are right" in said.sentence


def test_a_rework_batch_of_which_none_was_drawn_is_judged_by_the_audit_of_the_batch_it_comes_from() -> None:
    quality, parent = judged(3, 0, most_wrong=0, batch="rework-001"), judged()

    def said(answers: pd.DataFrame) -> batch_verdict.Verdict:
        rows = auditing.audits(pd.concat([quality, parent]), auditing.audited(parent, answers))
        return batch_verdict.verdict("rework-001", quality, rows, SPEC, before=parent)

    good = said(answered(parent, 10))
    assert good.pay == "pay" and "not measured: nothing of it is audited" in good.sentence
    assert "0 of 10 audited labels of the batches that it comes from are wrong" in good.sentence
    assert said(answered(parent, 4)).sentence == (
        "Don't pay yet: no gold has measured it, and 6 audited labels of the batches that it comes from are still to be answered."
    )
    assert said(answered(parent, 10, wrong=1)).sentence == (
        "Don't pay: 1 of 10 audited labels of the batches that it comes from are wrong, and nothing of its own is audited."
    )


def test_answers_of_which_none_is_a_label_are_said_to_be_so_and_the_page_ends() -> None:
    told = "none of 4 accepted answers is a label (nothing can be told, or the question doesn't apply)"
    quality = judged(4, 0, None, label="cant_tell", inspection=None)
    assert verdict(with_gold(quality), quality.head(0)).sentence.startswith(f"Pay: {told}, so there is nothing to audit, and 10 of 10")
    unknown = verdict(quality, quality.head(0))
    assert unknown.pay == "don't pay" and f"no gold has measured it, and {told}: pay it where somebody of ours" in unknown.sentence


class TestWithNothingAccepted:
    """Every question of a batch goes to our own people: there is nothing to audit."""

    SPEC = changed(SPEC, gates={"min_accept_share": 0.0})

    def said(self, kind: str, n_settled: int, same: int, gold: bool = False, spec=SPEC) -> batch_verdict.Verdict:
        quality = judged(4, 0, None, f"{kind}-001", decision="adjudicate", inspection=None)
        labels = ["red" if place < same else "blue" for place in range(n_settled)]
        ours = quality.head(n_settled).assign(batch_id="adjudication-001", kind="adjudication", decision="accept", label=labels)
        settled = auditing.left_open(quality, ours)
        return verdict(with_gold(quality) if gold else quality, ours, spec, settled=settled)

    def test_what_it_left_open_is_waited_for(self) -> None:
        said = self.said("rework", 3, 3, gold=True)
        assert said.sentence == "Don't pay yet: none was accepted by itself: 1 of 4 questions are still to be settled."

    def test_its_gold_decides(self) -> None:
        said = self.said("production", 4, 1, gold=True)
        assert said.pay == "pay" and "so there is nothing to audit" in said.sentence and "10 of 10 answers on gold" in said.sentence
        assert "1 of 4 questions were settled as its answers had it" in said.sentence and said.plan is None

    def test_without_gold_what_our_own_people_found_decides(self) -> None:
        assert self.said("production", 4, 3).pay == "pay"
        bad = self.said("production", 4, 2)
        assert bad.pay == "don't pay" and "only 2 of 4 questions were settled as its answers had it: 50%, where 70%" in bad.sentence

    @pytest.mark.parametrize(("answers", "pay"), [(0, "not yet"), (1, "not yet"), (2, "pay")])
    def test_the_vendors_own_rework_measures_nothing_until_our_own_people_have_looked_at_it(self, answers: int, pay: str) -> None:
        """Its audit does: what is answered of it is the same questions."""
        quality = judged(4, 0, None, decision="rework", inspection=None)
        again = quality.assign(batch_id="rework-001", kind="rework", decision="accept", most_wrong=0, is_audit=[True, True, False, False])
        plans = again.assign(attributes="colour")
        ours = answered(again, answers)
        rows = auditing.audits(pd.concat([quality, again]), auditing.audited(again, ours))
        settled = auditing.left_open(quality, pd.concat([again, ours]))
        said = batch_verdict.verdict("production-001", quality, rows, self.SPEC, planned=plans, settled=settled)
        assert said.pay == pay
        if pay == "pay":
            assert "2 of 2 questions were settled as its answers had it (2 more by rework alone)" in said.sentence
        else:
            assert f"no gold has measured it, and {2 - answers} audited labels of its rework are still to be answered" in said.sentence

    @pytest.mark.parametrize("audit", ["optional", "off"])
    def test_where_none_of_the_rework_was_drawn_the_page_says_how_it_is(self, audit: str) -> None:
        quality = judged(1, 0, None, decision="rework", inspection=None)
        spec = changed(self.SPEC, quality={"audit": audit}, labeling={"batch_size": 40})
        tasks = make_tasks(spec, 1).assign(batch_id="rework-001", kind="rework")
        labeled = accept(
            [("acme", "a.csv", make_csv(*(f"{tasks['task_id'][0]},colour,red,,,,,{who},," for who in "abc")))], tasks, spec, KEY
        )
        again = assess(labeled, tasks, None, spec, key=None)  # as batches were judged before one label at least was drawn
        assert again["decision"].eq("accept").all()
        quality = quality.assign(image_id=tasks["image_id"])
        settled, plans = auditing.left_open(quality, again), again.assign(attributes="colour")
        rows = auditing.audits(again, auditing.audited(again, again.head(0)))
        said = batch_verdict.verdict("production-001", quality, rows, spec, planned=plans, settled=settled)
        assert said.pay == "not yet" and "only rework has answered 1 of 1 questions, of which nothing is audited" in said.sentence
        assert ("with `optional`" in said.sentence) is (audit == "off")
        assert "materialize `label_quality` of rework-001 again" in said.sentence
        for number in range(20):
            then = assess(labeled, tasks, None, changed(spec, quality={"audit": "optional"}), key=bytes([number]))
            assert then["is_audit"].all()  # what it says helps

    def test_rework_that_gives_no_label_leaves_nothing_to_audit_so_the_page_ends(self) -> None:
        quality = judged(4, 0, None, decision="rework", inspection=None)
        again = quality.assign(batch_id="rework-001", kind="rework", decision="accept", label="cant_tell")
        said = verdict(quality, again.head(0), self.SPEC, settled=auditing.left_open(quality, again))
        assert said.pay == "don't pay" and "none of 4 accepted answers is a label" in said.sentence

    def test_its_gold_decides_where_all_went_to_rework(self) -> None:
        quality = judged(4, 0, None, decision="rework", inspection=None)
        again = quality.assign(batch_id="rework-001", kind="rework", decision="accept")
        said = verdict(with_gold(quality), again.head(0), self.SPEC, settled=auditing.left_open(quality, again))
        assert said.pay == "pay" and "questions were settled as" not in said.sentence

    def test_too_little_accepted_at_once_speaks_against_it_as_ever(self) -> None:
        assert "only 0% of its labels are accepted" in self.said("production", 4, 4, gold=True, spec=SPEC).sentence

    def test_what_is_gone_is_waited_for_no_longer_and_rework_settles_too(self) -> None:
        quality = judged(3, 0, None, decision="rework")
        later = quality.head(1).assign(batch_id="rework-001", kind="rework", decision="accept")
        assert auditing.left_open(quality, later)["found"].isna().tolist() == [False, True, True]
        gone = set(quality["image_id"][:2])
        assert auditing.left_open(quality, later, gone)["found"].isna().tolist() == [False, True]
        ours = later.assign(batch_id="adjudication-001", kind="adjudication", label="blue")
        assert auditing.left_open(quality, pd.concat([ours, later]))["found"].tolist()[0] == "blue"  # our own people's word is last


def test_gold_and_few_accepted_labels_speak_against_a_batch() -> None:
    gold = judged(5, 0, None, is_gold=True, gold_label="red", gold_correct=1, gold_accuracy=0.5, gold_lower=0.3, gold_upper=0.7)
    quality = pd.concat([judged(), gold.assign(task_id="g" + gold["image_id"])])
    assert "answers on colour are right on 50% of gold, so at least 30%, and 70% is wanted" in verdict(quality, quality.head(0)).sentence
    open_ = judged(decision=["accept"] * 10 + ["rework"] * 30)
    assert "only 25% of its labels are accepted and 50% are wanted" in verdict(open_, open_.head(0)).sentence
    assert verdict(judged(), quality.head(0), refused=["its gate said no"]).sentence == "Don't pay: its gate said no."


def test_what_is_left_to_settle_is_priced() -> None:
    quality = judged(40, 10, decision=["accept"] * 36 + ["rework"] * 2 + ["adjudicate"] * 2, n_more=[0] * 36 + [1, 1, 0, 0])
    whole = {"cost so far": 8.0, "more labels": 0.2, "our own people": 6.0, "cost expected in all": 14.2}  # 2 and 10 at 0.5 each
    assert verdict(quality, quality.head(0), spent=8.0).money == whole
    ours = quality[(quality["decision"] == "adjudicate") | quality["is_audit"].astype(bool)]
    plan = [
        quality[quality["decision"] == "rework"].assign(kind="rework", attributes="colour"),
        ours.assign(kind="adjudication", attributes="shape|colour"),
    ]
    some, all_ = pd.concat([plan[0], plan[1].head(4)]), pd.concat(plan)
    money = verdict(quality, quality.head(0), spent=8.0 + 0.2 + 4 * 0.5, planned=some).money
    assert money == {"cost so far": 10.2, "more labels": 0.0, "our own people": 4.0, "cost expected in all": 14.2}
    money = verdict(quality, answered(quality, 10), spent=14.2, planned=all_).money
    assert money == {"cost so far": 14.2, "more labels": 0.0, "our own people": 0.0, "cost expected in all": 14.2}


def test_the_last_answer_of_our_own_people_counts() -> None:
    quality = judged()
    both = pd.concat([answered(quality, 10, wrong=1), answered(quality, 1, batch="adjudication-002")])
    assert auditing.audited(quality, both)["is_wrong"].sum() == 0


class TestDrawnAnew:
    """The sample is whole again after pictures were withdrawn."""

    QUALITY = judged()

    def sample(self, answers: pd.DataFrame, *gone: int, quality: pd.DataFrame = QUALITY) -> list[str]:
        made = auditing.drawn_anew(quality, answers, {f"production-001-{number:03d}" for number in gone}, KEY)
        return list(made.loc[made["is_audit"].astype(bool), "image_id"])

    def test_others_take_the_place_of_what_nobody_can_answer(self) -> None:
        answers = answered(self.QUALITY, 6)
        now = self.sample(answers, 0, 7, 8)
        assert len(now) == 10 and now[:7] == [f"production-001-{number:03d}" for number in (0, 1, 2, 3, 4, 5, 6)]  # 0 was answered before
        assert now[7] == "production-001-009" and all(image > "production-001-009" for image in now[8:])
        assert now == self.sample(answers, 8, 7, 0) and now == self.sample(answers.sample(frac=1, random_state=1), 0, 7, 8)
        new = [int(image[-3:]) for image in now[8:]]
        later = self.sample(answers, 0, 7, 8, new[0])  # a replacement is withdrawn, too
        assert len(later) == 10 and now[9] in later and now[8] not in later
        both = pd.concat([answers, answered(self.QUALITY.assign(is_audit=self.QUALITY["image_id"] == now[8]), 1)])
        assert self.sample(both, 0, 7, 8, new[0]) == now  # answered, it stays

    def test_all_of_it_may_be_gone(self) -> None:
        now = self.sample(self.QUALITY.head(0), *range(10))
        assert len(now) == 10 and not set(now) & set(self.QUALITY["image_id"][:10])
        assert self.sample(self.QUALITY.head(0), *range(34)) == [f"production-001-{number:03d}" for number in range(34, 40)]
        assert self.sample(self.QUALITY.head(0), *range(40)) == []
        untouched = auditing.drawn_anew(self.QUALITY, self.QUALITY.head(0), {"elsewhere"}, KEY)
        assert untouched is self.QUALITY

    def test_it_comes_in_the_order_of_the_draw(self) -> None:
        """Another key, other replacements: nobody without it can tell which they are."""
        gone = set(self.QUALITY["image_id"][:5])
        one, other = (auditing.drawn_anew(self.QUALITY, self.QUALITY.head(0), gone, key) for key in (KEY, b"2"))
        assert not one["is_audit"].equals(other["is_audit"])

    def test_only_what_was_accepted_by_itself_is_drawn_and_the_plan_is_judged_on_it(self) -> None:
        quality = judged(decision=["accept"] * 12 + ["rework"] * 28)
        made = auditing.drawn_anew(quality, quality.head(0), set(quality["image_id"][:3]), KEY)
        assert made.loc[made["is_audit"].astype(bool), "image_id"].str[-3:].astype(int).tolist() == list(range(3, 12))  # two were left
        strict = changed(SPEC, quality={"audit": "required"}, gates={"min_accept_share": 0.0})
        for wrong, pay in ((0, "pay"), (1, "don't pay")):
            said = verdict(made, answered(made, 9, wrong), strict)
            assert said.plan is not None and (said.pay, said.plan.n) == (pay, 9)


def test_boxes_are_right_where_the_same_objects_are_there() -> None:
    quality = judged(2, 2, x=1.0, y=1.0, w=10.0, h=10.0, object_id="001", attribute="parts")
    answers = answered(quality, 2).assign(x=[2.0, 30.0])
    assert auditing.audited(quality, answers)["is_wrong"].tolist() == [False, True]


def test_the_history_counts_refused_batches_and_leaves_open_ones_out() -> None:
    good, bad, open_ = (judged(batch=f"production-00{number}") for number in (1, 2, 3))
    answers = pd.concat([answered(good, 10), answered(bad, 10, wrong=3)])
    rows = auditing.audits(pd.concat([good, bad, open_]), auditing.audited(pd.concat([good, bad, open_]), answers))
    names = [f"production-00{number}" for number in (1, 2, 3, 4)]
    assert auditing.history(rows, ["production-004"], names) == [True, False, False]


class TestPicturesThatComeBack:
    """What was found of a sample stays, also in what was drawn in place of pictures that were gone for a while."""

    QUALITY = judged(most_wrong=1)
    IMAGES = tuple(QUALITY["image_id"])
    ASKED = QUALITY[["batch_id", "image_id", "attribute"]]

    def sample(self, gone: set[str], answers: pd.DataFrame, asked: pd.DataFrame | None = ASKED) -> list[str]:
        made = auditing.drawn_anew(self.QUALITY, answers, gone, KEY, asked)
        return list(made.loc[made["is_audit"].astype(bool), "image_id"])

    def said(self, *images: str, label: str = "red") -> pd.DataFrame:
        return answered(self.QUALITY.assign(is_audit=self.QUALITY["image_id"].isin(images)), len(images)).assign(label=label)

    def test_an_answered_label_stays_in_place_of_the_one_drawn_first(self) -> None:
        first, lost = self.IMAGES[:8], set(self.IMAGES[8:10])
        new = sorted(set(self.sample(lost, self.said(*first))) - set(first))
        answers = pd.concat([self.said(*first), self.said(*new, label="blue")])
        for gone in (lost, set(), {self.IMAGES[8]}, set(first), set(new), set(self.IMAGES)):
            made = auditing.drawn_anew(self.QUALITY, answers, gone, KEY, self.ASKED)
            row = auditing.audits(made, auditing.audited(made, answers)).to_dict("records")[0]
            assert (row["drawn"], row["n"], row["wrong"], auditing.was_accepted(row)) == (10, 10, 2, False)
        half = set(self.sample(set(), self.said(*first, new[0])))
        assert {*first, new[0]} < half and len(half & lost) == 1  # one of the two has to be answered

    def test_an_answer_that_was_not_asked_of_the_batch_takes_no_place(self) -> None:
        answers = self.said(self.IMAGES[20], label="blue")
        other = self.ASKED.assign(batch_id="rework-001")
        assert self.sample(set(), answers, other) == list(self.IMAGES[:10]) == self.sample(set(), answers, None)
        assert self.IMAGES[20] in self.sample(set(), answers)

    def test_what_was_doubtful_takes_no_place(self) -> None:
        quality = self.QUALITY.assign(decision=["accept"] * 20 + ["adjudicate"] * 20)
        made = auditing.drawn_anew(quality, self.said(*self.IMAGES[20:]), set(), KEY, self.ASKED)
        assert list(made.loc[made["is_audit"].astype(bool), "image_id"]) == list(self.IMAGES[:10])

    def test_where_more_was_answered_than_planned_all_of_it_counts(self) -> None:
        answers = pd.concat([self.said(*self.IMAGES[:10]), self.said(self.IMAGES[20], label="blue")])
        assert self.sample(set(), answers) == [*self.IMAGES[:10], self.IMAGES[20]]

    @pytest.mark.parametrize("seed", range(10))
    def test_whatever_comes_and_goes_nothing_found_is_lost_and_the_sample_is_whole(self, seed: int) -> None:
        chance, told, out, answers = np.random.default_rng(seed), set[str](), set[str](), self.QUALITY.head(0)
        for _ in range(8):
            gone = set(chance.choice(self.IMAGES, 12, replace=False))
            now = set(self.sample(gone, answers, self.ASKED[self.ASKED["image_id"].isin(out)]))
            assert told <= now and len(now) == max(10, len(told)) and not (now - told) & gone
            out |= now
            more = [image for image in sorted(out - told) if chance.random() < 0.2]  # what was asked before may be answered late
            told |= set(more)
            answers = pd.concat([answers, self.said(*more)]).sample(frac=1, random_state=seed)
        assert len(told) > 5
