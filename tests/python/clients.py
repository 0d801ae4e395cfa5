#!/usr/bin/env python3
"""Generates Python clients from the committed OpenAPI documents, and walks through a home with them.

The home is that of a simulated house, which has been running for some seconds: it is asked of its box (TARN_BOX_URL) and of
a cloud (TARN_CLOUD_URL) that the box is linked with, as an owner of all homes (TARN_TOKEN). Every answer is held against the
type that the document promises. One line a step; the exit code is 1 if one of them failed.
"""

import importlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = {"box": "edge.json", "cloud": "cloud.json"}
# A body that no generator knows how to type is text.
CONFIG = """
content_type_overrides:
  "application/openmetrics-text; version=1.0.0": text/plain
post_hooks: []
"""
PAGE = 7
PAGES_MAX = 3
COMMAND_WAIT = "20s"
PATIENCE_S = 30


def generate(kind, folder):
    """A package `<kind>_client` in the folder. A warning is a part of the document that has no method or no type."""
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    place = folder / f"{kind}_client"
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    command += ["--path", str(ROOT / "openapi" / DOCUMENTS[kind]), "--output-path", str(place)]
    command += ["--config", str(config), "--overwrite", "--fail-on-warning"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(f"FAIL  {kind}: generate\n{made.stdout}{made.stderr}")
    print(f"pass  {kind}: generate a client from {DOCUMENTS[kind]}")


class Api:
    """The generated client of one service, with its operations by name."""

    def __init__(self, kind, url, token):
        self.package = f"{kind}_client"
        client = importlib.import_module(f"{self.package}.client")
        self.models = importlib.import_module(f"{self.package}.models")
        common = {"base_url": url, "timeout": 60, "raise_on_unexpected_status": True}
        self.known_by = lambda token: client.AuthenticatedClient(token=token, **common)
        self.nobody = client.Client(**common)
        self.client = self.known_by(token)

    def ask(self, operation, *arguments, client=None, **named):
        """The whole answer of an operation such as `readings.list_readings`."""
        module = importlib.import_module(f"{self.package}.api.{operation}")
        return module.sync_detailed(*arguments, client=client or self.client, **named)

    def get(self, operation, kind, *arguments, **named):
        """The typed answer of an operation that succeeds."""
        answer = self.ask(operation, *arguments, **named)
        assert isinstance(answer.parsed, getattr(self.models, kind)), f"{operation}: {answer}"
        return answer.parsed

    def done(self, operation, *arguments, **named):
        """For an operation whose success has no body."""
        answer = self.ask(operation, *arguments, **named)
        assert answer.status_code in (202, 204), f"{operation}: {answer}"


class Walk:
    def __init__(self, kind, api, home):
        self.kind, self.api, self.home = kind, api, home
        self.device = self.switch = self.token = None
        self.name = f"walker-{kind}"

    def steps(self):
        steps = [
            self.health,
            self.homes,
            self.devices,
            self.one_device,
            self.readings_by_pages,
            self.readings_by_buckets,
            self.gaps,
            self.sql,
            self.command,
            self.rooms,
            self.members,
            self.history,
            self.conflicts,
            self.boxes,
            self.problems,
            self.session,
            self.tokens,
            self.audit,
            self.metrics,
        ]
        if self.kind == "cloud":
            return steps + [self.stores, self.plan, self.scrub]
        return steps + [self.mqtt_clients]

    def health(self):
        """is up and ready"""
        for operation in ("service.get_health", "service.get_readiness"):
            assert self.api.ask(operation).status_code == 200

    def homes(self):
        """lists the home, and tells about it"""
        homes = self.api.get("readings.list_homes", "Homes").homes
        assert self.home in [home.home for home in homes], homes
        detail = self.api.get("homes.get_home", "HomeDetail", self.home)
        assert detail.devices > 10 and detail.boxes, detail

    def devices(self):
        """lists devices, those with odd ids too"""
        devices = self.api.get("readings.list_devices", "DeviceList", self.home).devices
        with_topics = [device for device in devices if "/" in device.device]
        # One that has been read often is there to page through.
        self.device = max(with_topics, key=lambda device: device.rows).device
        for device in devices:
            detail = self.api.get("readings.get_device", "DeviceDetail", self.home, device.device)
            features = detail.announced.features if detail.announced else []
            if device.name == "kitchen/plug" and any(f.metric == "state" for f in features):
                self.switch = device.device
        assert self.switch, "no switch has announced itself"

    def one_device(self):
        """tells what a device is, announces and has as its twin"""
        detail = self.api.get("readings.get_device", "DeviceDetail", self.home, self.switch)
        state = next(f for f in detail.announced.features if f.metric == "state")
        assert state.settable and state.takes == "switch", state
        assert detail.twin.reported.additional_properties["state"] in (True, False), detail.twin

    def readings_by_pages(self):
        """reads readings page by page, in the order of time"""
        cursor, times, pages = {}, [], 0
        while pages < PAGES_MAX:
            page = self.api.get(
                "readings.list_readings", "ReadingsPage", self.home, self.device, limit=PAGE, from_="-30d", **cursor
            )
            times += [reading.ts for reading in page.readings]
            pages += 1
            if page.next_cursor is None:
                break
            assert len(page.readings) == PAGE, page
            cursor = {"cursor": page.next_cursor}
        assert times == sorted(times) and len(times) > PAGE, times

    def readings_by_buckets(self):
        """reads averages"""
        page = self.api.get(
            "readings.list_readings", "ReadingsPage", self.home, self.device, every="1h", agg="count", from_="-30d"
        )
        assert sum(reading.value for reading in page.readings) > PAGE, page

    def gaps(self):
        """lists gaps"""
        gaps = self.api.get("readings.list_gaps", "GapList", self.home, from_="-30d")
        assert gaps.count == len(gaps.gaps), gaps

    def sql(self):
        """answers SQL, in JSON with types"""
        question = self.api.models.SqlRequest("SELECT device, count(*) AS n FROM readings GROUP BY device ORDER BY n DESC")
        answer = self.api.get("sql.query_sql", "SqlAnswer", body=question)
        assert [column.name for column in answer.columns] == ["device", "n"], answer
        assert answer.rows and isinstance(answer.rows[0][1], int), answer

    def command(self):
        """switches a device, and follows the command until the device confirms it"""
        detail = self.api.get("readings.get_device", "DeviceDetail", self.home, self.switch)
        wanted = not detail.twin.reported.additional_properties["state"]
        body = self.api.models.SetDesiredBody.from_dict({"state": wanted})
        sent = self.api.get("devices.set_desired", "Commands", self.home, self.switch, body=body)
        command = sent.commands[0].command
        until = time.monotonic() + PATIENCE_S
        while True:
            told = self.api.get("devices.get_command", "Command", self.home, command, wait=COMMAND_WAIT)
            if told.status == "confirmed":
                break
            assert told.status in ("stored", "sent", "waiting") and time.monotonic() < until, told
        listed = self.api.get("devices.list_commands", "Commands", self.home, self.switch)
        assert command in [known.command for known in listed.commands], listed

    def rooms(self):
        """makes a room, puts a device into it, and takes both away"""
        room = f"Room of {self.name}"
        made = self.api.get("homes.put_room", "Room", self.home, room)
        assert made.room == room, made
        before = self.api.get("readings.get_device", "DeviceDetail", self.home, self.switch).twin
        update = self.api.models.DeviceUpdate(name=f"Plug of {self.name}", room=room)
        self.api.get("devices.update_device", "KnownDevice", self.home, self.switch, body=update)
        detail = self.api.get("homes.get_home", "HomeDetail", self.home)
        assert next(r.devices for r in detail.rooms if r.room == room) == 1, detail.rooms
        twin = self.api.get("readings.get_device", "DeviceDetail", self.home, self.switch).twin
        assert (twin.name, twin.room) == (f"Plug of {self.name}", room), twin
        back = self.api.models.DeviceUpdate(name=before.name, room=before.room or "")
        self.api.get("devices.update_device", "KnownDevice", self.home, self.switch, body=back)
        self.api.done("homes.delete_room", self.home, room)

    def members(self):
        """takes a member in, and lets it go"""
        update = self.api.models.MemberUpdate(name="Ada", role="member")
        made = self.api.get("homes.put_member", "Member", self.home, self.name, body=update)
        assert (made.member, made.name) == (self.name, "Ada"), made
        members = self.api.get("homes.list_members", "Members", self.home).members
        assert self.name in [member.member for member in members], members
        self.api.done("homes.delete_member", self.home, self.name)

    def history(self):
        """tells who changed the device, and when"""
        changes = self.api.get("devices.list_history", "TwinHistory", self.home, self.switch, limit=50).changes
        assert changes and changes[0].at, changes

    def conflicts(self):
        """lists conflicts"""
        self.api.get("devices.list_conflicts", "Conflicts", self.home, self.switch)

    def boxes(self):
        """lists boxes, which are there"""
        boxes = self.api.get("homes.list_boxes", "Boxes", self.home).boxes
        assert any(box.online for box in boxes), boxes

    def problems(self):
        """answers what is wrong with a problem of a known type"""
        Problem = self.api.models.Problem
        absent = self.api.ask("readings.list_devices", "there-is-no-such-home")
        assert isinstance(absent.parsed, Problem) and absent.parsed.status == 404, absent
        wrong = self.api.ask("readings.list_readings", self.home, self.device, every="1y")
        assert isinstance(wrong.parsed, Problem) and wrong.parsed.type_ == "urn:tarn:problem:bad-request", wrong
        unknown = self.api.ask("readings.list_homes", client=self.api.nobody)
        assert isinstance(unknown.parsed, Problem) and unknown.parsed.status == 401, unknown

    def session(self):
        """tells who asks"""
        who = self.api.get("access.get_session", "Session")
        assert (who.role, who.homes) == (self.api.models.Role.OWNER, ["*"]), who

    def tokens(self):
        """makes a token that is good, revokes it, and it is good no more"""
        models = self.api.models
        wanted = models.NewToken(name=self.name, role=models.Role.ANALYST, homes=[self.home], expires_in="1h")
        made = self.api.get("access.create_token", "TokenCreated", body=wanted)
        with self.api.known_by(made.token) as analyst:
            assert self.api.ask("readings.list_devices", self.home, client=analyst).status_code == 200
            refused = self.api.ask("homes.put_room", self.home, "attic", client=analyst)
            assert refused.status_code == 403, refused
            listed = self.api.get("access.list_tokens", "Tokens").tokens
            assert made.record.id in [token.id for token in listed], listed
            self.api.done("access.revoke_token", made.record.id)
            until = time.monotonic() + PATIENCE_S
            while self.api.ask("readings.list_devices", self.home, client=analyst).status_code != 401:
                assert time.monotonic() < until, "a revoked token is still good"
                time.sleep(0.2)

    def audit(self):
        """tells who changed what, and who was refused"""
        until = time.monotonic() + PATIENCE_S
        while True:
            entries = self.api.get("access.list_audit", "AuditPage", self.home, from_="-1h", limit=1000).entries
            told = {(entry.operation, entry.outcome) for entry in entries}
            if {("putMember", "done"), ("putRoom", "refused")} <= told:
                break
            assert time.monotonic() < until, told
            time.sleep(0.2)

    def metrics(self):
        """gives its metrics"""
        answer = self.api.ask("service.get_metrics")
        assert answer.status_code == 200 and "tarn_" in answer.parsed, answer

    def mqtt_clients(self):
        """lists MQTT clients"""
        clients = self.api.get("broker.list_clients", "MqttClients", connected=True, limit=5)
        assert clients.clients and clients.clients[0].connection, clients

    def stores(self):
        """lists stores, with what lies in them"""
        stores = self.api.get("stores.list_stores", "Stores").stores
        assert stores and stores[0].state in list(self.api.models.StoreState), stores

    def plan(self):
        """tells what it would move"""
        self.api.get("stores.plan_stores", "StoresPlan")

    def scrub(self):
        """tells how far copies have been checked"""
        self.api.get("stores.get_scrub", "ScrubState")


# The same lines as in the document, which the other languages' walks run.
COPIES = {"ts": "tests/clients/typescript/ten_lines.ts"}


def check_readme():
    """runs what openapi/README.md shows"""
    text = (ROOT / "openapi" / "README.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    for language, copy in COPIES.items():
        assert blocks[language] == (ROOT / copy).read_text(encoding="utf-8"), f"{copy} is not what the document shows"
    exec(compile(blocks["python"], "openapi/README.md", "exec"), {})


def main():
    token, home = os.environ["TARN_TOKEN"], os.environ["TARN_HOME"]
    urls = {"box": os.environ["TARN_BOX_URL"], "cloud": os.environ["TARN_CLOUD_URL"]}
    failed = passed = 0
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        for kind, url in urls.items():
            generate(kind, pathlib.Path(folder))
            walk = Walk(kind, Api(kind, url, token), home)
            for step in walk.steps() + ([check_readme] if kind == "box" else []):
                try:
                    step()
                except Exception:
                    traceback.print_exc(file=sys.stdout)
                    failed += 1
                    print(f"FAIL  {kind}: {step.__doc__}")
                else:
                    passed += 1
                    print(f"pass  {kind}: {step.__doc__}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
