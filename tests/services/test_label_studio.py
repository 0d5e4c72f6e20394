"""A real Label Studio server, driven over its API: pilot, qualification, production, and the sensors that bring the labels home.

The people are simulated: what they answer is made up by `simulate/workers.py`. They make their accounts by the invitation link and
answer over the API as their browsers would, each in a project of their own.
"""

from __future__ import annotations

import csv
import http.cookiejar
import io
import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dataops_assets import assets, runs, sensors
from dataops_assets.flow import studio as flow
from dataops_assets.home import Home
from dataops_assets.labels import label_studio, studio, studio_server
from dataops_assets.labels.studio_client import Client
from dataops_assets.operations import Operations
from dataops_assets.projects import COMPONENT_TYPE, ENV_DEFS
from dataops_assets.simulate import vendors, workers
from dataops_assets.spec import ProjectSpec
from tests.conftest import REPO, changed
from tests.services.conftest import free_ports

ENVIRONMENT = Path(os.environ.get(studio_server.ENV_ENVIRONMENT) or REPO / ".venv-labelstudio")
PASSWORD = "a-simulated-person"
PILOT = 8

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not (ENVIRONMENT / "installed").exists(), reason="`make test-services` installs Label Studio first"),
]


class Person:
    """Somebody with an account on the server and a browser's session."""

    def __init__(self, url: str, invitation: str, email: str) -> None:
        self.url, self.email = url, email
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies))
        self.opener.open(invitation, timeout=60).read()
        form = {"email": email, "password": PASSWORD, "csrfmiddlewaretoken": self.cookie("csrftoken"), "allow_newsletters": "false"}
        self.opener.open(urllib.request.Request(invitation, urllib.parse.urlencode(form).encode(), {"Referer": invitation}), timeout=60)
        assert self.cookie("sessionid")

    def cookie(self, name: str) -> str:
        return next((str(cookie.value) for cookie in self.cookies if cookie.name == name), "")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "X-CSRFToken": self.cookie("csrftoken"), "Referer": self.url}
        request = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode(), headers, method=method)
        with self.opener.open(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def answer(self, project: int, answers: dict[str, dict[str, str]], limit: int | None = None) -> list[int]:
        """Take one task after the other as the labelling stream hands them out; returns the annotations' ids."""
        made = []
        while limit is None or len(made) < limit:
            try:
                task = self.ask("GET", f"/api/projects/{project}/next")
            except urllib.error.HTTPError as error:
                assert error.code == 404  # nothing left
                return made
            result = label_studio.choices(answers[task["data"]["item_id"]])
            made.append(self.ask("POST", f"/api/tasks/{task['id']}/annotations/", {"result": result, "lead_time": 4.5})["id"])
        return made


@pytest.fixture
def server(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[studio_server.Server]:
    monkeypatch.setenv(studio_server.ENV_ENVIRONMENT, str(ENVIRONMENT))
    command = [sys.executable, "-m", "dataops_assets.cli", "labelstudio"]
    up = subprocess.run([*command, "up", "--home", str(home.root), "--port", str(free_ports())], capture_output=True, text=True)
    try:
        assert up.returncode == 0, up.stderr
        found = studio_server.find(home)
        assert found is not None
        yield found
    finally:
        assert subprocess.run([*command, "down", "--home", str(home.root)]).returncode == 0


@pytest.fixture
def spec(dresses: ProjectSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProjectSpec]:
    """Dresses, labelled in Label Studio by two people a picture."""
    labelled_by = [vendor.model_dump(mode="json") | {"tool": "label_studio"} for vendor in dresses.labeling.vendors]
    small = {"batch_size": 12, "pilot_size": PILOT, "pilot_overlap": 1, "qualification_accuracy": 0.5}
    made = changed(dresses, labeling={"vendors": labelled_by, "overlap": 2, **small})
    path = tmp_path / "projects" / "dresses" / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump({"type": COMPONENT_TYPE, "attributes": made.model_dump(mode="json")}))
    monkeypatch.setenv(ENV_DEFS, str(tmp_path / "projects"))
    runs.definitions.cache_clear()
    yield made
    runs.definitions.cache_clear()


def test_pilot_qualification_and_production_come_back_through_the_sensors(
    home: Home, spec: ProjectSpec, server: studio_server.Server
) -> None:
    truth = vendors.deliver(spec, home.landing("dresses") / "atelier" / "spring", "atelier", 20, 11, vendors.CLEAN)
    names = [attribute.name for attribute in spec.ontology.attributes]
    values = {attribute.name: list(attribute.values) for attribute in spec.ontology.attributes}
    known = {row["image_id"]: {name: row[name] for name in names} for row in truth.to_dict("records")}
    client = server.client
    people = [Person(server.url, client.invitation(), f"simulated-{number}@example.org") for number in (1, 2)]
    outside = next(vendor.name for vendor in spec.labeling.vendors if not vendor.internal)

    with Operations.open(home.root, [spec]) as work:
        store = work.store
        assert work.run("dresses").is_success
        keys = assets.Keys.of("dresses")
        made = {sensor.name: sensor for sensor in sensors.build(spec, keys, runs.jobs_of(spec, keys.batches))}

        def tick(name: str) -> Any:
            return made[f"dresses_{name}_sensor"](dg.build_sensor_context(instance=work.instance, resources={"store": store}))

        def answers(batch: str) -> list[dict[str, dict[str, str]]]:
            """What each simulated person says, by person and item."""
            tasks = store.load("label_tasks", "dresses", batch).frame
            right = {task: known[image] for task, image in zip(tasks["task_id"], tasks["image_id"], strict=True)}
            crew = workers.EXPERTS[: int(tasks["overlap"].max())]
            text = workers.label(home.requests("dresses") / batch, right, crew, 11, datetime(2026, 11, 5, tzinfo=UTC), values)
            said: dict[str, dict[str, dict[str, str]]] = {}
            for row in csv.DictReader(io.StringIO(text)):
                said.setdefault(row["annotator"], {}).setdefault(row["item_id"], {})[row["attribute"]] = row["label"]
            return [said[worker.name] for worker in crew]

        def slots(batch: str) -> list[int]:
            found = {project["title"]: int(project["id"]) for project in client.projects()}
            return [found[title] for title in sorted(found) if title.startswith(f"dresses/{batch} ")]

        def come_back(batch: str) -> None:
            assert f"{batch} came back" in str(tick("label_studio").skip_message)
            (request,) = tick("label_return").run_requests
            assert request.partition_key == batch
            outcome = runs.run(work.instance, "dresses", "returns", batch, tags=request.tags)
            assert outcome.is_success, outcome.error
            assert set(store.load("label_quality", "dresses", batch).frame["decision"]) == {"accept"}

        # pilot: one slot, and a person who looks at the picture, changes an answer and leaves in between
        assert work.plan("dresses", "pilot").is_success
        assert "sent pilot-001" in str(tick("label_studio").skip_message)
        (project,) = slots("pilot-001")
        (said,) = answers("pilot-001")
        task = people[0].ask("GET", f"/api/projects/{project}/next")
        with people[0].opener.open(server.url + task["data"]["image"], timeout=60) as picture:
            assert (
                picture.read()
                == next((home.requests("dresses") / "pilot-001" / "images").glob(f"{task['data']['item_id']}.*")).read_bytes()
            )
        wrong = {item: {name: next(v for v in values[name] if v != label) for name, label in each.items()} for item, each in said.items()}
        (first, second, *_) = people[0].answer(project, wrong, limit=2)
        assert f"2 of {PILOT} answers" in str(tick("label_studio").skip_message)
        assert not home.returns("dresses").joinpath("pilot-001").exists()  # nothing half done is judged
        right = label_studio.choices(said[task["data"]["item_id"]])
        people[0].ask("PATCH", f"/api/annotations/{first}/", {"result": right})
        people[0].ask("DELETE", f"/api/annotations/{second}/")  # the free edition lets anybody do so; it is then asked again
        people[0].answer(project, said)
        come_back("pilot-001")
        assert work.approve("dresses", "pilot-001", "ann@example.org").is_success
        copies = studio_server.folder_of(home) / "copies" / "dresses" / "pilot-001"
        held = [
            kept["completed_by"] for path in copies.glob("*.json") for task in json.loads(path.read_bytes()) for kept in task["annotations"]
        ]
        assert len(held) == PILOT + 2  # the deleted one and both states of the edited one among them
        assert set(held) == {people[0].email}
        assert people[0].email not in store.load("labeled_batches", "dresses", "pilot-001").frame.to_csv()

        # before others answer its pictures, the pilot leaves their sight
        assert work.remove_from_label_studio("dresses", "pilot-001").is_success
        assert client.projects() == []

        # qualification on the pilot's gold: two people, a project each
        assert work.plan("dresses", "qualification", vendor=outside).is_success
        tick("label_studio")
        first_slot, second_slot = slots("qualification-001")
        one, other = answers("qualification-001")
        people[0].answer(first_slot, one)
        assert f"{len(one)} of {2 * len(one)} answers" in str(tick("label_studio").skip_message)
        people[1].answer(second_slot, other)
        come_back("qualification-001")

        # production, sent twice as after a crash: nothing is there twice
        assert work.plan("dresses", "production").is_success
        batch = studio.Batch.read(home.requests("dresses") / "production-001", "dresses/production-001")
        studio.send(client, batch, server.pictures)
        tick("label_studio")
        assert len(slots("production-001")) == 2
        for slot, who, said in zip(slots("production-001"), people, answers("production-001"), strict=True):
            assert len(list(client.tasks(slot))) == len(batch.items)
            who.answer(slot, said)
        come_back("production-001")
        assert list(flow.out(store, spec)) == ["production-001"]  # whoever corrects an answer now is still heard
        assert work.approve("dresses", "production-001", "ann@example.org").is_success
        assert str(tick("label_studio").skip_message) == "No batch is out."

        # a server elsewhere: it gets the pictures sent, and its accounts have tokens of the newer kind
        newer = Client(server.url, people[0].ask("POST", "/api/token/")["token"])
        far = studio.Batch.read(batch.folder, "elsewhere/production-001")
        studio.send(newer, far, None)
        studio.send(newer, far, None)
        (slot,) = [project["id"] for project in newer.projects() if project["title"] == far.title(1)]
        shown = {task["data"]["item_id"]: task["data"]["image"] for task in newer.tasks(slot)}
        assert len(shown) == len(far.items)
        with people[1].opener.open(server.url + shown[far.items[0].item_id], timeout=60) as picture:
            assert picture.read() == (far.folder / far.items[0].file).read_bytes()
