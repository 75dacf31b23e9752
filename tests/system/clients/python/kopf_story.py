"""What users of an operator made with kopf do, while `kopf run` runs it as its author would."""

import contextlib
import pathlib
import subprocess
import sys
import time
import unittest

from kubernetes import client, config

NAMESPACE = config.list_kube_config_contexts()[1]["context"]["namespace"]
OPERATOR = pathlib.Path(__file__).with_name("kopf_operator.py")
SOON_SECONDS = 30
LOOK_EVERY_SECONDS = 0.1


@contextlib.contextmanager
def operator_running():
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace", NAMESPACE, str(OPERATOR)]
    with open("kopf.log", "a") as log, subprocess.Popen(command, stdout=log, stderr=log) as operator:
        try:
            yield
        finally:
            operator.terminate()
            ended = operator.wait(SOON_SECONDS)
    assert ended == 0, f"kopf ended with {ended}"


def boat(name, sailors):
    metadata = client.V1ObjectMeta(name=name, labels={"boat": ""})
    return client.V1ConfigMap(metadata=metadata, data={"sailors": sailors})


class Stories(unittest.TestCase):
    def setUp(self):
        config.load_kube_config()
        self.core = client.CoreV1Api()

    def read(self, name):
        try:
            return self.core.read_namespaced_config_map(name, NAMESPACE)
        except client.ApiException as error:
            if error.status != 404:
                raise

    def eventually(self, what, look):
        until = time.monotonic() + SOON_SECONDS
        while time.monotonic() < until:
            if found := look():
                return found
            time.sleep(LOOK_EVERY_SECONDS)
        self.fail(f"{what}: not within {SOON_SECONDS} s; kopf said:\n{pathlib.Path('kopf.log').read_text()[-4000:]}")

    def annotated(self, name, key, value):
        now = self.read(name)
        return now and (now.metadata.annotations or {}).get(key) == value and now

    def event_of(self, name, reason):
        selector = f"involvedObject.name={name},reason={reason}"
        return self.core.list_namespaced_event(NAMESPACE, field_selector=selector).items

    def test_an_operator_is_told_of_all_that_happens_to_its_objects(self):
        with operator_running():
            self.launches()
            self.follows_a_change()
            self.gives_up_for_good()

    def test_started_again_it_catches_up_and_lets_go(self):
        self.core.patch_namespaced_config_map("sloop", NAMESPACE, {"data": {"sailors": "5"}})
        self.core.delete_namespaced_config_map("raft", NAMESPACE)
        self.assertIsNotNone(self.read("raft").metadata.deletion_timestamp)
        with operator_running():
            self.catches_up_with_what_it_missed()
            self.takes_leave()

    def launches(self):
        self.core.create_namespaced_config_map(NAMESPACE, boat("sloop", "3"))
        self.core.create_namespaced_config_map(NAMESPACE, boat("raft", "1"))
        waiting = self.eventually("it holds the boat and waits", lambda: self.event_of("sloop", "Logging"))
        self.assertIn("there is no harbour yet", " ".join(event.message for event in waiting))
        self.assertEqual(len(self.read("sloop").metadata.finalizers), 1)
        harbour = client.V1ConfigMap(
            metadata=client.V1ObjectMeta(name="bay", labels={"harbour": ""}), data={"depth": "4"}
        )
        self.core.create_namespaced_config_map(NAMESPACE, harbour)
        for name in ("sloop", "raft"):
            self.eventually(f"{name} is afloat", lambda: self.annotated(name, "boat/state", "afloat"))
        owner = self.read("sloop-crew").metadata.owner_references[0]
        self.assertEqual((owner.kind, owner.name, owner.controller), ("ConfigMap", "sloop", True))
        self.eventually("an event tells", lambda: self.event_of("sloop", "Launched"))

    def follows_a_change(self):
        self.core.patch_namespaced_config_map("sloop", NAMESPACE, {"data": {"sailors": "4"}})
        self.eventually("she is refitted", lambda: self.annotated("sloop", "boat/refit", "3-4"))
        self.assertEqual(self.read("sloop-crew").data["sailors"], "4")

    def gives_up_for_good(self):
        self.core.create_namespaced_config_map(NAMESPACE, boat("tub", "99"))
        self.eventually("it says why not", lambda: self.event_of("tub", "Logging"))
        self.assertIsNone(self.read("tub-crew"))

    def catches_up_with_what_it_missed(self):
        self.eventually("she is refitted late", lambda: self.annotated("sloop", "boat/refit", "4-5"))
        self.eventually("she is resumed", lambda: self.annotated("sloop", "boat/resumed", "yes"))
        self.eventually("the finalizer lets the raft go", lambda: self.read("raft") is None)
        self.assertIsNotNone(self.read("raft-wreck"))
        self.eventually("its crew goes with it", lambda: self.read("raft-crew") is None)

    def takes_leave(self):
        for name in ("sloop", "tub"):
            self.core.delete_namespaced_config_map(name, NAMESPACE)
            self.eventually(f"{name} is scrapped", lambda: self.read(name) is None and self.read(f"{name}-wreck"))
        self.eventually("no crew is left", lambda: self.read("sloop-crew") is None)


if __name__ == "__main__":
    unittest.main()
