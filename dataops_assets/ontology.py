"""What is labelled: questions, their answers, and how one version of them became the next.

An attribute is a question, a value one of its answers. Kinds are `single`, `multi` and `box`; polygons and keypoints would be further
kinds of drawn answers. No pandas here: what becomes of labels under another version is in `labels/changes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z._-]+$")]
Sensitivity = Literal["colour", "light", "mirror", "turn", "crop", "cover", "shape", "detail"]

CANT_TELL = "cant_tell"  # an answer: the picture doesn't show enough. Counted, never trained on
NOT_APPLICABLE = "not_applicable"  # what a settled question holds that was not to be answered, or left open. Nobody returns it
CANT_TELL_WORDS = "The picture doesn't show enough to answer, even at full size."


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Details(Section):
    """What an answer has beside its definition."""

    synonyms: tuple[str, ...] = Field((), description="Other words that are taken for it in returns, in any capitals.")
    examples: tuple[str, ...] = Field((), description="Pictures that show it: image ids, or files beside the project's YAML.")
    counterexamples: tuple[str, ...] = Field((), description="Pictures that are taken for it and are something else.")
    edge_cases: tuple[str, ...] = Field((), description="A sentence each: what to answer where it is close.")


_LONG: Any = {"anyOf": [{"type": "string"}, {"type": "object", "required": ["definition"]}]}


class Attribute(Section):
    """One question about a picture and its allowed answers.

    In YAML a value is `red: From scarlet to wine.` or, written out, `red: {definition: From scarlet to wine., synonyms: [crimson]}`.
    """

    name: Word
    kind: Literal["single", "multi", "box"] = "single"
    question: str = ""
    values: dict[str, str] = Field(
        min_length=1, description="value -> definition an annotator can work from", json_schema_extra={"additionalProperties": _LONG}
    )
    details: dict[str, Details] = Field(default_factory=dict, description="Filled from values that are written out.")
    ordered: bool = Field(False, description="Values are degrees, written in their order: answers far apart differ by more.")
    cant_tell: bool | str = Field(False, description=f"Whether `{CANT_TELL}` is an answer; a text says when. Never delivered as a label.")
    required: bool = Field(True, description="A picture is delivered only with an answer. Otherwise the question may be left open.")
    when: dict[Word, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="Asked only where an earlier attribute is answered so: {sleeves: [short, long]}; all must hold."
    )
    sensitive_to: tuple[Sensitivity, ...] = Field(
        (), description="Changes of the picture that may change the answer; see docs/labelling.md."
    )
    edge_cases: tuple[str, ...] = Field((), description="A sentence each: what to answer where it is close.")

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, given: Any) -> Any:
        """Take what values have beside their definitions apart."""
        values = given.get("values") if isinstance(given, dict) else None
        if not isinstance(values, dict) or not any(isinstance(told, dict) for told in values.values()):
            return given
        long = {value: dict(told) for value, told in values.items() if isinstance(told, dict)}
        words = {value: long[value].pop("definition", None) if value in long else told for value, told in values.items()}
        return {**given, "values": words, "details": {**given.get("details", {}), **long}}

    @model_validator(mode="after")
    def _values(self) -> Attribute:
        for value in self.values:
            if not value or "|" in value or value != value.strip():
                raise ValueError(f"value {value!r} of attribute {self.name!r}: empty, padded, or with a '|'")
            if value in (CANT_TELL, NOT_APPLICABLE):
                raise ValueError(f"value {value!r} of attribute {self.name!r} is built in: write `cant_tell: true` instead")
        if self.ordered and (self.kind != "single" or len(self.values) < 3):
            raise ValueError(f"attribute {self.name!r} can't be `ordered`: only a single choice of three or more values has an order")
        if self.kind == "box" and self.cant_tell:
            raise ValueError(f"box attribute {self.name!r} can't have `cant_tell`: it is answered by boxes, or by `none`")
        strangers = sorted(self.details.keys() - self.values.keys())
        if strangers:
            raise ValueError(f"attribute {self.name!r} has details of {', '.join(strangers)}, which are no values of it")
        taken = {value.casefold(): value for value in self.values}
        for value, meant in self.details.items():
            for word in meant.synonyms:
                other = taken.setdefault(_folded(word), value)
                if other != value or not word.strip() or "|" in word:
                    raise ValueError(f"synonym {word!r} of {self.name}={value} is empty, holds a '|', or stands for {other!r} already")
        return self

    @property
    def answers(self) -> tuple[str, ...]:
        """What may be returned: the values, and `cant_tell` where it is allowed."""
        return (*self.values, CANT_TELL) if self.cant_tell else tuple(self.values)

    @property
    def definitions(self) -> dict[str, str]:
        """answer -> definition, in the order in which they are shown."""
        return self.values | ({CANT_TELL: self.cant_tell if isinstance(self.cant_tell, str) else CANT_TELL_WORDS} if self.cant_tell else {})

    @property
    def spellings(self) -> dict[str, str]:
        """What is taken for an answer, case-folded -> the answer: synonyms of values."""
        return {_folded(word): value for value, meant in self.details.items() for word in meant.synonyms}


def _folded(word: str) -> str:
    return " ".join(word.split()).casefold()


class Change(Section):
    """What one version changed in one attribute, so that labels given before can be read under it.

    Renamed and merged values carry labels over; split, removed and redefined ones must be asked again.
    """

    from_version: Version = Field(alias="from")
    to_version: Version = Field(alias="to")
    attribute: Word | None = Field(None, description="Left out: nothing that touches labels.")
    rename: dict[str, str] = Field(default_factory=dict, description="old value -> new value")
    merge: dict[str, str] = Field(default_factory=dict, description="old value -> the value that holds it now")
    split: dict[str, Annotated[tuple[str, ...], Field(min_length=2)]] = Field(default_factory=dict, description="old value -> its parts")
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    redefine: tuple[str, ...] = Field((), description="Values that mean something else now.")
    reword: tuple[str, ...] = Field((), description="Values that are explained better and mean the same.")
    why: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Change:
        if self.from_version == self.to_version:
            raise ValueError(f"a change from version {self.from_version} to itself: raise the version")
        if self.attribute is None and (self.old | self.new):
            raise ValueError(f"a change from {self.from_version} to {self.to_version} names values but no attribute")
        fates = [*self.rename, *self.merge, *self.split, *self.remove, *self.redefine, *self.reword]
        twice = sorted({value for value in fates if fates.count(value) > 1})
        if twice:
            raise ValueError(f"change of {self.attribute} to version {self.to_version} says two things of {', '.join(twice)}")
        return self

    @property
    def old(self) -> set[str]:
        """Values that end with it."""
        return {*self.rename, *self.merge, *self.split, *self.remove}

    @property
    def new(self) -> set[str]:
        """Values that it needs to be there afterwards."""
        parts = {part for whole in self.split.values() for part in whole}
        return {*self.rename.values(), *self.merge.values(), *parts, *self.add, *self.redefine, *self.reword}


class Ontology(Section):
    """What is labelled. A label carries the version it was given under."""

    version: Version = "1"
    attributes: tuple[Attribute, ...] = Field(min_length=1)
    changes: tuple[Change, ...] = Field((), description="How each version became the next one, the oldest first.")

    @model_validator(mode="after")
    def _unique(self) -> Ontology:
        names = [attribute.name for attribute in self.attributes]
        if len(set(names)) != len(names):
            raise ValueError(f"attribute names repeat: {sorted(names)}")
        if "screening" in names:
            raise ValueError("'screening' names the built-in question of screening batches; call the attribute otherwise")
        return self

    @model_validator(mode="after")
    def _dependent(self) -> Ontology:
        before: dict[str, Attribute] = {}
        for attribute in self.attributes:
            for name, values in attribute.when.items():
                parent = before.get(name)
                if parent is None or parent.kind == "box":
                    raise ValueError(f"attribute {attribute.name!r} depends on {name!r}, which must be a choice that stands before it")
                unknown = sorted(set(values) - set(parent.answers))
                if unknown:
                    raise ValueError(f"attribute {attribute.name!r} depends on {name}={'|'.join(unknown)}, which {name} lacks")
            before[attribute.name] = attribute
        return self

    @model_validator(mode="after")
    def _changes(self) -> Ontology:
        held = {attribute.name: set(attribute.answers) for attribute in self.attributes}
        for change in reversed(self.changes):
            where = f"change of {change.attribute} from version {change.from_version} to {change.to_version}"
            if self.path(change.to_version) is None:
                raise ValueError(f"{where}: no change leads on from {change.to_version} to {self.version}")
            if change.attribute is None:
                continue
            values = held.setdefault(change.attribute, set())
            lacking, staying = sorted(change.new - values), sorted((change.old & values) - change.new)
            if lacking:
                raise ValueError(f"{where} names {', '.join(lacking)}, which {change.attribute} doesn't have then")
            if staying:
                raise ValueError(f"{where} ends {', '.join(staying)}, which {change.attribute} still has then")
            held[change.attribute] = values | change.old
        return self

    def attribute(self, name: str) -> Attribute | None:
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def path(self, version: str) -> list[str] | None:
        """Versions after that one up to the present, by the changes; None where nothing leads there."""
        after = {change.from_version: change.to_version for change in self.changes}
        found: list[str] = []
        while version != self.version:
            if version not in after or after[version] in found:
                return None
            version = after[version]
            found.append(version)
        return found

    def depends_on(self, name: str) -> Iterator[str]:
        """Attributes that are asked only by the answer to this one, directly or through others."""
        roots = {name}
        for attribute in self.attributes:
            if roots & attribute.when.keys():
                roots.add(attribute.name)
                yield attribute.name
