"""python3 -m unittest discover sdk/python"""

import io
import json
import unittest
from datetime import datetime, timedelta, timezone

from sampan_operator import Answer, Question, Run, condition, effect, format_time, parse_time, run


def asked(number: int, name: str, **more: object) -> str:
    question = {"id": number, "protocol": "v1", "now": "2026-01-01T00:00:00.5Z", "state": "Unobserved", "owned": [],
                "watched": [], "primary": {"kind": "Thing", "metadata": {"name": name}}}
    return json.dumps({**question, **more}) + "\n"


def answers(reconcile, *lines: str) -> list:
    out = io.StringIO()
    run(reconcile, io.StringIO("".join(lines)), out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


class Running(unittest.TestCase):
    def test_an_answer_carries_its_number_and_only_what_it_says(self):
        def reconcile(question: Question) -> Answer:
            print("this goes to the log")
            gone = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}}
            return Answer("Done", delete=[gone], wake_after=timedelta(minutes=1)).waiting_for("rain")

        self.assertEqual(answers(reconcile, asked(7, "a"), asked(8, "b")), [
            {"id": number, "state": "Done", "wakeAfterSeconds": 60.0, "waitingFor": [{"guard": "rain", "detail": ""}],
             "delete": [{"apiVersion": "v1", "kind": "Secret", "name": "s", "namespace": "n"}]} for number in (7, 8)])

    def test_what_is_raised_about_one_object_is_told_and_the_next_is_answered(self):
        def reconcile(question: Question) -> Answer:
            return Answer({"good": "Done"}[question.name])

        self.assertEqual(answers(reconcile, asked(1, "bad"), asked(2, "good")),
                         [{"id": 1, "error": "KeyError: 'bad'"}, {"id": 2, "state": "Done"}])

    def test_an_effect_is_run_tells_how_far_it_is_and_what_it_gave(self):
        @effect("send")
        def send(run: Run):
            run.progress("half of it")
            return {"sent": run.input["letters"][run.tries]}

        def line(number: int, **more: object) -> str:
            request = {"id": number, "protocol": "v1", "effect": "send", "key": "k", "tries": 0, "token": "default/a.1",
                       "input": {"letters": ["a"]}, "primary": {"object": "things/a", "uid": "u"}}
            return json.dumps({**request, **more}) + "\n"

        told = answers(lambda _: Answer("Done"), line(3), line(4, tries=1), line(5, effect="burn"))
        self.assertEqual(told, [{"id": 3, "progress": "half of it"}, {"id": 3, "result": {"sent": "a"}},
                                {"id": 4, "progress": "half of it"},
                                {"id": 4, "error": "IndexError: list index out of range"},
                                {"id": 5, "error": "KeyError: 'burn'"}])

    def test_an_effect_is_asked_for_and_seen(self):
        def reconcile(question: Question) -> Answer:
            sent = question.effect("send", "k")
            return Answer("Done" if sent and sent.done else "Sending").ask_for("send", "k", 7)

        done = {"effect": "send", "key": "k", "input": 7, "done": True, "result": "there"}
        wish = [{"effect": "send", "key": "k", "input": 7}]
        self.assertEqual(answers(reconcile, asked(1, "a", effects=[]), asked(2, "a", effects=[done])),
                         [{"id": 1, "state": "Sending", "effects": wish}, {"id": 2, "state": "Done", "effects": wish}])

    def test_a_condition_keeps_the_time_it_has_had_its_status_since(self):
        at = lambda second: datetime(2026, 1, 1, 0, 0, second, tzinfo=timezone.utc)
        first = condition("Ready", "False", "Creating", "10 %", at(1), {})
        before = {"status": {"conditions": [first]}}
        self.assertEqual(condition("Ready", "False", "Creating", "90 %", at(2), before)["lastTransitionTime"],
                         "2026-01-01T00:00:01Z")
        self.assertEqual(condition("Ready", "True", "Created", "", at(3), before)["lastTransitionTime"],
                         "2026-01-01T00:00:03Z")

    def test_another_protocol_is_refused(self):
        [answer] = answers(lambda _: Answer("Done"), asked(1, "a", protocol="v9"))
        self.assertIn("'v9'", answer["error"])

    def test_times_are_read_and_written_as_kubernetes_does(self):
        time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
        self.assertEqual((parse_time("2026-01-02T03:04:05Z"), format_time(time)), (time, "2026-01-02T03:04:05Z"))
        self.assertEqual(parse_time("2026-01-02T03:04:05.25Z").microsecond, 250000)


if __name__ == "__main__":
    unittest.main()
