"""service/dist/kubernetes.yaml: its fields are those of the API reference, its parts fit each other, compose.yaml and haproxy.cfg."""
import json
import os
import re
import shutil
import subprocess

import pytest

from support import compose
from support.kubernetes import NODES, documents, haproxy_for, one
from support.process import ROOT

# The fields of the API reference (v1, apps/v1, policy/v1) that a deployment of this kind may use. A list holds the items' fields, ... any name;
# "!" marks what is required.
PROBE = {"httpGet": {"path": str, "port!": (int, str)}, "tcpSocket": {"port!": (int, str)}, "periodSeconds": int, "timeoutSeconds": int,
         "failureThreshold": int, "initialDelaySeconds": int, "successThreshold": int}
METADATA = {"name": str, "namespace": str, "labels": {...: str}, "annotations": {...: str}}
SELECTOR = {"matchLabels": {...: str}}
CONTAINER = {
    "name!": str, "image!": str, "imagePullPolicy": str, "command": [str], "args": [str],
    "ports": [{"name": str, "containerPort!": int, "protocol": str}],
    "env": [{"name!": str, "value": str, "valueFrom": {"fieldRef": {"fieldPath!": str}}}],
    "startupProbe": PROBE, "livenessProbe": PROBE, "readinessProbe": PROBE,
    "lifecycle": {"preStop": {"exec": {"command": [str]}}},
    "resources": {"requests": {...: str}, "limits": {...: str}},
    "securityContext": {"allowPrivilegeEscalation": bool, "readOnlyRootFilesystem": bool, "capabilities": {"add": [str], "drop": [str]}},
    "volumeMounts": [{"name!": str, "mountPath!": str, "readOnly": bool, "subPath": str}],
}
POD = {
    "automountServiceAccountToken": bool, "terminationGracePeriodSeconds": int, "containers!": [CONTAINER],
    "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "runAsGroup": int, "fsGroup": int, "seccompProfile": {"type!": str}},
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight!": int, "podAffinityTerm!": {"topologyKey!": str, "labelSelector": SELECTOR}}]}},
    "volumes": [{"name!": str, "configMap": {"name": str, "defaultMode": int}, "secret": {"secretName": str, "defaultMode": int}, "emptyDir": {"sizeLimit": str}}],
}
TEMPLATE = {"metadata": METADATA, "spec!": POD}
COMMON = {"apiVersion!": str, "kind!": str, "metadata!": METADATA}
SHAPES = {
    ("v1", "ConfigMap"): {**COMMON, "data": {...: str}},
    ("v1", "Service"): {**COMMON, "spec": {"type": str, "clusterIP": str, "publishNotReadyAddresses": bool, "selector": {...: str},
                                           "ports": [{"name": str, "port!": int, "targetPort": (int, str), "protocol": str}]}},
    ("apps/v1", "StatefulSet"): {**COMMON, "spec": {"serviceName": str, "replicas": int, "podManagementPolicy": str, "selector!": SELECTOR,
                                                    "template!": TEMPLATE}},
    ("apps/v1", "Deployment"): {**COMMON, "spec": {"replicas": int, "selector!": SELECTOR, "template!": TEMPLATE}},
    ("policy/v1", "PodDisruptionBudget"): {**COMMON, "spec": {"maxUnavailable": (int, str), "minAvailable": (int, str), "selector": SELECTOR}},
}


def faults(value, shape, at=""):
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{at}: no list"]
        return [fault for i, part in enumerate(value) for fault in faults(part, shape[0], f"{at}[{i}]")]
    if not isinstance(shape, dict):
        good = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
        return [] if good else [f"{at}: {value!r} is of the wrong type"]
    if not isinstance(value, dict):
        return [f"{at}: no object"]
    fields = {name.rstrip("!") if isinstance(name, str) else name: part for name, part in shape.items()}
    found = [f"{at}: no {name[:-1]}" for name in shape if isinstance(name, str) and name.endswith("!") and name[:-1] not in value]
    for name, part in value.items():
        if name in fields or ... in fields:
            found += faults(part, fields.get(name, fields.get(...)), f"{at}.{name}")
        else:
            found.append(f"{at}: {name} is no field")
    return found


def test_fields_are_those_of_the_reference():
    for document in documents():
        assert faults(document, SHAPES[document["apiVersion"], document["kind"]], document["kind"]) == []


@pytest.mark.parametrize("spoil", [
    lambda d: d["spec"].pop("selector"), lambda d: d["spec"].update(replica=2), lambda d: d["spec"].update(replicas="2"),
    lambda d: d["spec"]["template"]["spec"]["containers"][0].pop("image"),
    lambda d: d["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "X", "value": 1})])
def test_wrong_fields_are_found(spoil):
    document = one("StatefulSet", "ferrod")
    spoil(document)
    assert len(faults(document, SHAPES["apps/v1", "StatefulSet"])) == 1


def container(kind, name):
    (found,) = one(kind, name)["spec"]["template"]["spec"]["containers"]
    return found


def test_routing_is_that_of_haproxy_cfg():
    text = (ROOT / "service/dist/haproxy.cfg").read_text(encoding="utf-8")
    here = one("ConfigMap", "ferrod-haproxy")["data"]["haproxy.cfg"]
    assert here == haproxy_for(text)
    for name in NODES.values():   # the rules really speak of the pods
        for rule in (f"req.hdr(Ferro-Session) -m beg {name}~", f"req.hdr(Ferro-Transaction) -m beg {name}~",
                     f"-m beg /v1/transactions/{name}~", f"req.hdr(Ferro-Node) -m str {name} "):
            assert f"use_backend node_{name} if {{ " in here and rule in here
    assert not re.search(r"\b[ab]~|-m str [ab] ", here)
    nodes = one("StatefulSet", "ferrod")
    assert list(NODES.values()) == [f"ferrod-{i}" for i in range(nodes["spec"]["replicas"])]
    env = {entry["name"]: entry.get("value") for entry in container("Deployment", "ferrod-haproxy")["env"]}
    assert set(re.findall(r'"\$(\w+)"', text)) <= set(env)
    for variable, pod in zip(("FERROD_A", "FERROD_B"), NODES.values(), strict=True):
        assert env[variable].startswith(f"{pod}.{nodes['spec']['serviceName']}.")


@pytest.mark.skipif(shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") is None, reason="no haproxy")
def test_haproxy_takes_it(tmp_path):
    path = tmp_path / "haproxy.cfg"
    path.write_text(one("ConfigMap", "ferrod-haproxy")["data"]["haproxy.cfg"])
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin", "HAPROXY_BIND": "127.0.0.1:8090", "FERROD_A": "127.0.0.1:1", "FERROD_B": "127.0.0.1:2"}
    done = subprocess.run(["haproxy", "-c", "-f", str(path)], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_catalog_is_that_of_compose():
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "catalog").iterdir()}
    assert one("ConfigMap", "ferrod-catalog")["data"] == files
    for text in files.values():
        json.loads(text)


def test_settings_are_those_of_the_pair():
    env = {entry["name"]: entry.get("value") for entry in container("StatefulSet", "ferrod")["env"]}
    pair = compose.services()["ferrod-a"]["environment"]
    assert set(env) == set(pair) | {"FERROD_NODE_URL"}
    assert {name: value for name, value in env.items() if name in pair and name != "FERROD_NODE"} == \
        {name: value for name, value in pair.items() if name != "FERROD_NODE"}
    secrets = {value.rsplit("/", 1)[1] for value in env.values() if value and value.startswith("/run/secrets/")}
    assert secrets == {"admin_key", "database_url", "state_key"}


def test_parts_fit_each_other():
    for kind, name in (("StatefulSet", "ferrod"), ("Deployment", "ferrod-haproxy")):
        spec = one(kind, name)["spec"]
        labels, pod = spec["template"]["metadata"]["labels"], spec["template"]["spec"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        budget = one("PodDisruptionBudget", name)["spec"]
        assert budget["selector"]["matchLabels"] == spec["selector"]["matchLabels"] and budget["maxUnavailable"] == 1 < spec["replicas"]
        (one_container,) = pod["containers"]
        assert {mount["name"] for mount in one_container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert one_container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert pod["securityContext"]["runAsNonRoot"] is True and pod["automountServiceAccountToken"] is False
        ports = {port["name"] for port in one_container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            for how in ("httpGet", "tcpSocket"):
                asked = one_container.get(probe, {}).get(how)
                assert asked is None or asked["port"] in ports
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert one("ConfigMap", volume["configMap"]["name"])
    nodes = container("StatefulSet", "ferrod")
    assert nodes["livenessProbe"]["httpGet"]["path"] == "/healthz" and nodes["readinessProbe"]["httpGet"]["path"] == "/readyz?of=node"
    headless = one("Service", one("StatefulSet", "ferrod")["spec"]["serviceName"])["spec"]
    assert headless["clusterIP"] == "None" and headless["publishNotReadyAddresses"] is True
    assert headless["selector"] == one("StatefulSet", "ferrod")["spec"]["selector"]["matchLabels"]
    assert one("Service", "ferrod")["spec"]["selector"] == one("Deployment", "ferrod-haproxy")["spec"]["selector"]["matchLabels"]
    grace = one("StatefulSet", "ferrod")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert f"{grace}s" == compose.services()["ferrod-a"]["stop_grace_period"]
