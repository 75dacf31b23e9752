"""Operators for Sampan in Python: one module, no dependencies, Python 3.9 or later.

An operator is one function. It is given a Question, which is an object and all that its plugin watches as one snapshot
shows them, and returns an Answer, which is what should be. It must follow from the question alone: no clock but
``question.now``, no memory, no network.

    from sampan_operator import Answer, Question, run

    def reconcile(question: Question) -> Answer:
        name = question.primary["metadata"]["name"]
        copy = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        return Answer("Copied", apply=[copy])

    if __name__ == "__main__":
        run(reconcile)

What is done to the world beyond the cluster is an effect: a function that is run at least once for each key, on a process
of its own, where it may wait and use the network. An answer asks for it; the question after it is done shows its result.

    @effect("create")
    def create(run: Run) -> Any:
        run.progress("halfway")
        return {"port": 5432}

    def reconcile(question: Question) -> Answer:
        made = question.effect("create", "it")
        return Answer("Ready" if made and made.done else "Creating").ask_for("create", "it", {"name": question.name})

The protocol is in docs/plugin-protocol.md. What is printed goes to Sampan's log.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, IO, List, Optional, Tuple, Union

PROTOCOL = "v1"

Object = Dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """What the API answered to a write of the answer before."""

    verb: str
    resource: str
    reason: str
    message: str


@dataclass(frozen=True)
class Effect:
    """Something that was asked for to be done to the world, and how it stands."""

    effect: str
    key: str
    input: Any = None
    done: bool = False
    result: Any = None
    tries: int = 0
    error: Optional[str] = None
    progress: Optional[str] = None


@dataclass(frozen=True)
class Question:
    """An object and all that is watched for its sake, at one moment."""

    primary: Object
    now: datetime
    state: str = "Unobserved"
    owned: Tuple[Object, ...] = ()
    watched: Tuple[Object, ...] = ()
    refused: Optional[Refused] = None
    effects: Tuple[Effect, ...] = ()

    @property
    def name(self) -> str:
        """The name of the primary."""
        return self.primary["metadata"]["name"]

    @property
    def spec(self) -> Dict[str, Any]:
        """The spec of the primary."""
        return self.primary.get("spec") or {}

    @property
    def is_being_deleted(self) -> bool:
        """Whether the primary is on its way out: it is asked about while it carries the plugin's finalizer."""
        return "deletionTimestamp" in self.primary["metadata"]

    def effect(self, name: str, key: str) -> Optional[Effect]:
        """How an effect stands; None where it was not asked for."""
        return next((one for one in self.effects if (one.effect, one.key) == (name, key)), None)

    def owned_of(self, kind: str) -> List[Object]:
        """What the primary owns of a kind."""
        return [found for found in self.owned if found["kind"] == kind]

    def watched_of(self, kind: str) -> List[Object]:
        """What is watched of a kind."""
        return [found for found in self.watched if found["kind"] == kind]

    def find(self, kind: str, name: str) -> Optional[Object]:
        """An object that is owned or watched."""
        found = (one for one in self.owned + self.watched if one["kind"] == kind and one["metadata"]["name"] == name)
        return next(found, None)


@dataclass
class Answer:
    """What should be."""

    state: str
    because: Optional[str] = None
    status: Optional[Dict[str, Any]] = None
    apply: List[Object] = field(default_factory=list)
    delete: List[Object] = field(default_factory=list)
    wake_after: Union[timedelta, float, None] = None
    events: List[Dict[str, str]] = field(default_factory=list)
    waiting: List[Dict[str, str]] = field(default_factory=list)
    effects: List[Dict[str, Any]] = field(default_factory=list)
    forget: List[Dict[str, Any]] = field(default_factory=list)

    def ask_for(self, effect: str, key: str, input: Any = None) -> Answer:
        """Has an effect done, once for each key: where it is done, or on its way, this changes nothing."""
        self.effects.append({"effect": effect, "key": key, "input": input})
        return self

    def forget_effect(self, effect: str, key: str) -> Answer:
        """Lets what came of an effect be forgotten: its key may be asked for anew."""
        self.forget.append({"effect": effect, "key": key})
        return self

    def event(self, reason: str, message: str, warning: bool = False) -> Answer:
        """Tells users what happened."""
        self.events.append({"type": "Warning" if warning else "Normal", "reason": reason, "message": message})
        return self

    def waiting_for(self, guard: str, detail: str = "") -> Answer:
        """Says what the object waits for, as `sampan why` shows it."""
        self.waiting.append({"guard": guard, "detail": detail})
        return self

    def to_json(self, number: int) -> Dict[str, Any]:
        """The answer to what was asked under a number."""
        answer: Dict[str, Any] = {"id": number, "state": self.state}
        if self.because is not None:
            answer["because"] = self.because
        if self.status is not None:
            answer["status"] = self.status
        if self.apply:
            answer["apply"] = self.apply
        if self.delete:
            answer["delete"] = [reference(gone) for gone in self.delete]
        if self.effects:
            answer["effects"] = self.effects
        if self.forget:
            answer["forget"] = self.forget
        if self.events:
            answer["events"] = self.events
        if self.waiting:
            answer["waitingFor"] = self.waiting
        if self.wake_after is not None:
            is_delta = isinstance(self.wake_after, timedelta)
            answer["wakeAfterSeconds"] = self.wake_after.total_seconds() if is_delta else float(self.wake_after)
        return answer


Reconcile = Callable[[Question], Answer]


@dataclass(frozen=True)
class Run:
    """A run of an effect. It may come again after it was cut off anywhere: it must then end as if it had come once."""

    key: str
    input: Any = None
    tries: int = 0
    token: str = ""
    primary: Dict[str, str] = field(default_factory=dict)
    tell: Callable[[str], None] = field(default=lambda word: None, compare=False)

    def progress(self, word: str) -> None:
        """Tells how far it has come: the object's next question shows it, and it has its whole deadline again."""
        self.tell(word)


Perform = Callable[[Run], Any]
EFFECTS: Dict[str, Perform] = {}


def effect(name: str) -> Callable[[Perform], Perform]:
    """Makes a function the effect of that name."""

    def declare(perform: Perform) -> Perform:
        EFFECTS[name] = perform
        return perform

    return declare


def condition(kind: str, status: str, reason: str, message: str, now: datetime, before: Object) -> Dict[str, str]:
    """A condition for the status of an object, with the time it has had this status since."""
    known = (before.get("status") or {}).get("conditions") or []
    same = (one["lastTransitionTime"] for one in known if (one["type"], one["status"]) == (kind, status))
    return {"type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": next(same, None) or format_time(now)}


def reference(thing: Object) -> Dict[str, str]:
    """What names an object: a whole one is taken too."""
    metadata = thing.get("metadata", thing)
    named = {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "name": metadata["name"]}
    if metadata.get("namespace"):
        named["namespace"] = metadata["namespace"]
    return named


def parse_time(text: str) -> datetime:
    """A time as Kubernetes writes it, in UTC."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    micros = int((fraction + "000000")[:6])
    return datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(microsecond=micros, tzinfo=timezone.utc)


def format_time(time: datetime) -> str:
    """A time as Kubernetes writes it."""
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def question_of(asked: Dict[str, Any]) -> Question:
    """Reads a question."""
    if asked.get("protocol") != PROTOCOL:
        raise ValueError(f"asked in the protocol {asked.get('protocol')!r}, which is not {PROTOCOL!r}")
    refused = asked.get("refused")
    return Question(
        primary=asked["primary"],
        now=parse_time(asked["now"]),
        state=asked["state"],
        owned=tuple(asked["owned"]),
        watched=tuple(asked["watched"]),
        refused=Refused(**refused) if refused else None,
        effects=tuple(Effect(**one) for one in asked.get("effects", ())),
    )


def respond(reconcile: Reconcile, asked: Dict[str, Any]) -> Dict[str, Any]:
    """The answer to one question. What the function raises is told, and the object asked about again later."""
    try:
        return reconcile(question_of(asked)).to_json(asked["id"])
    except Exception as error:  # One object's trouble must not end the answers about others.
        traceback.print_exc()
        return {"id": asked["id"], "error": f"{type(error).__name__}: {error}"}


def perform(asked: Dict[str, Any], tell: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """What comes of an effect. What the function raises is told, and it is tried again later."""
    number = asked["id"]
    try:
        if asked.get("protocol") != PROTOCOL:
            raise ValueError(f"asked in the protocol {asked.get('protocol')!r}, which is not {PROTOCOL!r}")
        run = Run(key=asked["key"], input=asked["input"], tries=asked["tries"], token=asked["token"],
                  primary=asked["primary"], tell=lambda word: tell({"id": number, "progress": word}))
        return {"id": number, "result": EFFECTS[asked["effect"]](run)}
    except Exception as error:
        traceback.print_exc()
        return {"id": number, "error": f"{type(error).__name__}: {error}"}


def run(reconcile: Reconcile, questions: Optional[IO[str]] = None, answers: Optional[IO[str]] = None) -> None:
    """Answers questions until there are no more. What the function prints goes to the log instead of among the answers."""
    questions, answers = questions or sys.stdin, answers or sys.stdout
    own, sys.stdout = sys.stdout, sys.stderr

    def tell(answer: Dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        for line in questions:
            asked = json.loads(line)
            tell(perform(asked, tell) if "effect" in asked else respond(reconcile, asked))
    finally:
        sys.stdout = own
