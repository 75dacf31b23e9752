"""What programs do with the Python client, and rely on."""

import datetime
import time
import unittest

from kubernetes import client, config, dynamic, watch

NAMESPACE = config.list_kube_config_contexts()[1]["context"]["namespace"]
# As many snapshots are kept for lists that go on.
PAGED_LISTS_MAX = 64


def config_map(name, labels=None, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)



class Stories(unittest.TestCase):
    def setUp(self):
        config.load_kube_config()
        self.core = client.CoreV1Api()

    def watched(self, version, until, **options):
        """The types and names of what a watch tells from a version on, up to and with the first that is `until`."""
        told = []
        stream = watch.Watch().stream(
            self.core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=30, **options
        )
        for event in stream:
            told.append((event["type"], event["object"].metadata.name))
            if told[-1] == until:
                break
        return told

    def test_a_watch_from_a_list_misses_nothing_and_repeats_nothing(self):
        self.core.create_namespaced_config_map(NAMESPACE, config_map("before", {"story": "order"}))
        version = self.core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
        self.core.create_namespaced_config_map(NAMESPACE, config_map("a", {"story": "order"}, key="one"))
        self.core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"key": "two"}})
        self.core.delete_namespaced_config_map("a", NAMESPACE)
        told = self.watched(version, ("DELETED", "a"), label_selector="story=order")
        self.assertEqual(told, [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")])

    def test_a_selector_shows_what_enters_and_what_leaves(self):
        self.core.create_namespaced_config_map(NAMESPACE, config_map("b"))
        version = self.core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
        for labels in ({"story": "enters"}, {"story": None}):
            self.core.patch_namespaced_config_map("b", NAMESPACE, {"metadata": {"labels": labels}})
        told = self.watched(version, ("DELETED", "b"), label_selector="story=enters")
        self.assertEqual(told, [("ADDED", "b"), ("DELETED", "b")])

    def test_a_watch_ends_at_its_time_and_goes_on_where_it_was(self):
        version = self.core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
        began = time.monotonic()
        quiet = watch.Watch()
        told = list(
            quiet.stream(
                self.core.list_namespaced_config_map,
                NAMESPACE,
                field_selector="metadata.name=nobody",
                resource_version=version,
                timeout_seconds=1,
            )
        )
        self.assertEqual(told, [])
        self.assertGreaterEqual(time.monotonic() - began, 0.9)
        self.core.create_namespaced_config_map(NAMESPACE, config_map("c"))
        self.assertEqual(self.watched(version, ("ADDED", "c"), field_selector="metadata.name=c"), [("ADDED", "c")])

    def test_a_watch_without_a_version_begins_with_what_is_there(self):
        self.core.create_namespaced_config_map(NAMESPACE, config_map("d", {"story": "there"}))
        self.assertEqual(self.watched(None, ("ADDED", "d"), label_selector="story=there"), [("ADDED", "d")])

    def test_bookmarks_tell_how_far_a_quiet_watch_has_come(self):
        self.core.create_namespaced_config_map(NAMESPACE, config_map("e", {"story": "bookmark"}))
        stream = watch.Watch().stream(
            self.core.list_namespaced_config_map,
            NAMESPACE,
            label_selector="story=bookmark",
            allow_watch_bookmarks=True,
            send_initial_events=True,
            resource_version_match="NotOlderThan",
            timeout_seconds=30,
        )
        for event in stream:
            if event["type"] == "BOOKMARK":
                annotations = event["raw_object"]["metadata"]["annotations"]
                self.assertEqual(annotations["k8s.io/initial-events-end"], "true")
                return
        self.fail("no bookmark came")

    def test_a_list_that_goes_on_too_late_is_gone(self):
        for name in ("page-a", "page-b"):
            self.core.create_namespaced_config_map(NAMESPACE, config_map(name, {"story": "gone"}))
        first = None
        for number in range(PAGED_LISTS_MAX + 2):
            self.core.patch_namespaced_config_map("page-a", NAMESPACE, {"data": {"number": str(number)}})
            page = self.core.list_namespaced_config_map(NAMESPACE, label_selector="story=gone", limit=1)
            first = first or page.metadata._continue
        with self.assertRaises(client.ApiException) as refused:
            self.core.list_namespaced_config_map(NAMESPACE, label_selector="story=gone", limit=1, _continue=first)
        self.assertEqual(refused.exception.status, 410)
        self.assertIn('"reason":"Expired"', refused.exception.body)

    def test_a_stale_update_is_refused_and_nothing_is_lost(self):
        made = self.core.create_namespaced_config_map(NAMESPACE, config_map("stale", key="one"))
        self.core.patch_namespaced_config_map("stale", NAMESPACE, {"data": {"other": "kept"}})
        made.data["key"] = "two"
        with self.assertRaises(client.ApiException) as refused:
            self.core.replace_namespaced_config_map("stale", NAMESPACE, made)
        self.assertEqual(refused.exception.status, 409)
        now = self.core.read_namespaced_config_map("stale", NAMESPACE)
        self.assertEqual(now.data, {"key": "one", "other": "kept"})

    def test_a_deployment_is_made_scaled_and_seen_to_be_ready(self):
        labels = {"app": "python"}
        container = client.V1Container(name="web", image="sampan-demo:v1")
        template = client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
        )
        spec = client.V1DeploymentSpec(
            replicas=1, selector=client.V1LabelSelector(match_labels=labels), template=template
        )
        wanted = client.V1Deployment(metadata=client.V1ObjectMeta(name="python"), spec=spec)
        apps = client.AppsV1Api()
        made = apps.create_namespaced_deployment(NAMESPACE, wanted)
        apps.patch_namespaced_deployment_scale("python", NAMESPACE, {"spec": {"replicas": 3}})
        stream = watch.Watch().stream(
            apps.list_namespaced_deployment,
            NAMESPACE,
            resource_version=made.metadata.resource_version,
            timeout_seconds=60,
        )
        ready = (event["object"].status.ready_replicas for event in stream)
        self.assertIn(3, ready)

    def test_the_dynamic_client_discovers_applies_and_watches(self):
        api = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"key": "value"}}
        api.server_side_apply(body=body, namespace=NAMESPACE, field_manager="python")
        seen = api.watch(namespace=NAMESPACE, field_selector="metadata.name=dynamic", timeout=30)
        event = next(iter(seen))
        self.assertEqual((event["type"], event["object"].data.key), ("ADDED", "value"))
        self.assertEqual(event["object"].metadata.managedFields[0].manager, "python")

    def test_a_token_is_worth_what_its_account_may_do(self):
        account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="python"))
        self.core.create_namespaced_service_account(NAMESPACE, account)
        asked = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
        )
        token = self.core.create_namespaced_service_account_token("python", NAMESPACE, asked)
        left = token.status.expiration_timestamp - datetime.datetime.now(datetime.timezone.utc)
        self.assertLessEqual(left.total_seconds(), 600)
        settings = client.Configuration.get_default_copy()
        settings.cert_file = settings.key_file = None
        settings.api_key = {"authorization": f"Bearer {token.status.token}"}
        robot = client.ApiClient(settings)
        who = client.AuthenticationV1Api(robot).create_self_subject_review(client.V1SelfSubjectReview())
        self.assertEqual(who.status.user_info.username, f"system:serviceaccount:{NAMESPACE}:python")
        with self.assertRaises(client.ApiException) as refused:
            client.CoreV1Api(robot).list_namespaced_secret(NAMESPACE)
        self.assertEqual(refused.exception.status, 403)

    def test_a_collection_is_deleted_by_its_label(self):
        for name in ("many-a", "many-b"):
            self.core.create_namespaced_config_map(NAMESPACE, config_map(name, {"story": "many"}))
        self.core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="story=many")
        left = self.core.list_namespaced_config_map(NAMESPACE, label_selector="story=many").items
        self.assertEqual(left, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
