"""An operator as its author writes it: every ConfigMap with the label `boat` has a crew, a ConfigMap it owns."""

import kopf
import kubernetes

SAILORS_MAX = 9


@kopf.on.startup()
def post_what_is_logged(settings, **_):
    settings.posting.loggers = True


@kopf.on.login()
def login(**arguments):
    return kopf.login_via_client(**arguments)


@kopf.index("configmaps", labels={"harbour": kopf.PRESENT})
def harbours(name, body, **_):
    return {name: body["data"]["depth"]}


@kopf.on.create("configmaps", labels={"boat": kopf.PRESENT})
def launch(name, namespace, body, patch, harbours, **_):
    if not harbours:
        raise kopf.TemporaryError("there is no harbour yet", delay=0.5)
    if int(body["data"]["sailors"]) > SAILORS_MAX:
        raise kopf.PermanentError("she would sink")
    crew = config_map(f"{name}-crew", sailors=body["data"]["sailors"])
    kopf.append_owner_reference(crew)
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, crew)
    patch.metadata.annotations["boat/state"] = "afloat"
    kopf.info(body, reason="Launched", message="she swims")


@kopf.on.update("configmaps", field="data.sailors", labels={"boat": kopf.PRESENT})
def refit(name, namespace, old, new, patch, **_):
    sailors = {"data": {"sailors": new}}
    kubernetes.client.CoreV1Api().patch_namespaced_config_map(f"{name}-crew", namespace, sailors)
    patch.metadata.annotations["boat/refit"] = f"{old}-{new}"


@kopf.on.resume("configmaps", labels={"boat": kopf.PRESENT})
def resume(patch, **_):
    patch.metadata.annotations["boat/resumed"] = "yes"


@kopf.on.delete("configmaps", labels={"boat": kopf.PRESENT})
def scrap(name, namespace, **_):
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, config_map(f"{name}-wreck"))


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
