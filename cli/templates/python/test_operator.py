"""python3 -m unittest"""

import unittest
from datetime import datetime, timezone

from sampan_operator import Question
from @MODULE@ import reconcile


def asked(spec: dict) -> Question:
    primary = {"metadata": {"name": "sample", "namespace": "default"}, "spec": spec}
    return Question(primary=primary, now=datetime(2026, 1, 1, tzinfo=timezone.utc))


class Reconciling(unittest.TestCase):
    def test_a_message_is_published(self):
        answer = reconcile(asked({"message": "Ahoy"}))
        self.assertEqual((answer.state, answer.apply[0]["data"]), ("Published", {"message": "Ahoy"}))

    def test_without_a_message_there_is_no_config_map(self):
        answer = reconcile(asked({}))
        self.assertEqual((answer.state, answer.delete[0]["metadata"]["name"]), ("Silent", "sample"))


if __name__ == "__main__":
    unittest.main()
