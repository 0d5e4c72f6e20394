"""The questions a batch may ask: the ontology's attributes, and the one that screening asks about a picture."""

from __future__ import annotations

from dataops_assets.spec import Attribute, ProjectSpec

SCREENING = Attribute(
    name="screening",
    question="May this picture be used for the project?",
    values={
        "keep": "Shows what the project needs, sharp enough to answer its questions, and nobody can be identified in it.",
        "redact": "As keep, once the faces, texts and plates that were found in it are covered.",
        "reject": "Off topic, too poor to answer the questions, or it shows a person, a name or another personal detail.",
    },
)
NO_OBJECT = "none"  # answer to a box question: "looked, and there is nothing to box"


def question(spec: ProjectSpec, name: str) -> Attribute | None:
    """The attribute of that name; `screening` is always the built-in one."""
    return SCREENING if name == SCREENING.name else spec.ontology.attribute(name)


def questions(spec: ProjectSpec, joined: list[str]) -> list[Attribute]:
    """Attributes that any of the `a|b` lists names, in the ontology's order.

    Raises:
        ValueError: for a name that is no attribute: the plan was made under another ontology.
    """
    names = {name for text in joined for name in text.split("|")}
    known = [SCREENING, *spec.ontology.attributes]
    missing = names - {attribute.name for attribute in known}
    if missing:
        raise ValueError(f"the plan asks for {sorted(missing)}, which ontology {spec.ontology.version} of {spec.name} lacks")
    return [attribute for attribute in known if attribute.name in names]
