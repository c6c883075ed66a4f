"""packaging/kubernetes: the manifests hold together, and their containers and probes are executed as they are written, by a
stand-in for the kubelet: a root of their own with the volumes, as their user, in a network of its own."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest
import urllib.request

try:
    import yaml
except ImportError:
    yaml = None

from harness import BINARY, IS_ROOT, ROOT, Case, Lines, environment, isolate, lacking, main, run, skip_file
from tls_harness import has_tls

FOLDER = ROOT / "packaging" / "kubernetes"
BOUND = [path for path in ("/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache") if os.path.exists(path)]


def manifests(folder):
    """Every document that the folder's kustomization names, as it is written."""
    kustomization = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
    return [document for name in kustomization["resources"] for document in yaml.safe_load_all((FOLDER / folder / name).read_text())]


def only(folder, kind):
    document, = (document for document in manifests(folder) if document["kind"] == kind)
    return document


def patched(folder):
    """The documents of the folder's base, with its patches, each of which adds something; kind to document."""
    kustomization = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
    base, = kustomization["resources"]
    documents = {document["kind"]: document for document in manifests(pathlib.Path(base).name)}
    for patch in kustomization["patches"]:
        for step in yaml.safe_load(patch["patch"]):
            *way, last = step["path"].split("/")[1:]
            at = documents[patch["target"]["kind"]]
            for word in way:
                at = at[int(word)] if isinstance(at, list) else at[word]
            if last == "-":
                at.append(step["value"])
            else:
                at[last] = step["value"]
    return documents


def pod_of(document):
    spec = document["spec"]
    return spec.get("jobTemplate", document)["spec"]["template"]


class Manifests(Case):
    PODS = (("server", "Deployment"), ("bench", "Job"), ("targets", "CronJob"))
    BUILT = PODS + (("metrics", "HorizontalPodAutoscaler"),)

    def test_every_pod_keeps_to_the_restricted_standard(self):
        for folder, kind in self.PODS:
            with self.subTest(folder):
                pod = pod_of(only(folder, kind))["spec"]
                self.assertIs(pod["securityContext"]["runAsNonRoot"], True)
                self.assertGreater(pod["securityContext"]["runAsUser"], 0)
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertIs(pod["automountServiceAccountToken"], False)
                self.assertLessEqual({kind for volume in pod["volumes"] for kind in volume} - {"name"}, {"secret", "configMap"})
                for container in pod["containers"]:
                    self.assertEqual(container["securityContext"], {"allowPrivilegeEscalation": False,
                                     "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
                    self.assertEqual({mount["name"] for mount in container["volumeMounts"]},
                                     {volume["name"] for volume in pod["volumes"]})

    def test_what_refers_to_the_servers_selects_them(self):
        labels = pod_of(only("server", "Deployment"))["metadata"]["labels"]
        deployment, service = only("server", "Deployment"), only("server", "Service")
        selectors = [deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"],
                     only("server", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                     only("server", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
        self.assertEqual(selectors, [labels] * 4)
        scaled = only("server", "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        self.assertEqual((scaled["kind"], scaled["name"]), ("Deployment", deployment["metadata"]["name"]))
        self.assertEqual(service["spec"]["ipFamilyPolicy"], "PreferDualStack")
        container, = deployment["spec"]["template"]["spec"]["containers"]
        port, = container["ports"]
        self.assertEqual((service["spec"]["ports"][0]["targetPort"], str(port["containerPort"])),
                         (port["name"], container["args"][1]))
        cpu = container["resources"]["requests"]["cpu"]  # what the autoscaler's utilization is relative to
        self.assertTrue(cpu)

    def test_the_memory_of_a_server_does_not_depend_on_the_processors_of_the_node(self):
        container, = pod_of(only("server", "Deployment"))["spec"]["containers"]
        workers = int(container["args"][container["args"].index("--workers") + 1])
        limit = container["resources"]["limits"]["memory"]
        memory_mib = int(re.fullmatch(r"(\d+)Mi", limit)[1])
        capacity = (ROOT / "src" / "server" / "capacity.c").read_text()
        server, worker, connection, handshake = (int(re.search(rf"\b{name}_BYTES = (\d+)", capacity)[1]) for name in
                                                 ("SERVER", "WORKER", "TLS_CONNECTION", "TLS_HANDSHAKE"))
        share = int(re.search(r"\bHANDSHAKES_SHARE = (\d+)", capacity)[1])
        connections = (memory_mib / 2 - server - worker * workers) * 1024 / (connection + handshake / share)
        text = " ".join((ROOT / "docs" / "scaling.md").read_text().split())
        stated = re.search(r"A pod of (\d+) MiB with two workers allows about ([\d,]+) TLS connections", text)
        self.assertEqual((int(stated[1]), workers), (memory_mib, 2))
        self.assertAlmostEqual(int(stated[2].replace(",", "")), connections, delta=50)

    def test_the_drain_fits_into_the_grace_period(self):
        pod = pod_of(only("server", "Deployment"))["spec"]
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreater(pod["terminationGracePeriodSeconds"], sleep + 9.5)

    @unittest.skipUnless(shutil.which("kubectl"), "needs kubectl")
    def test_kustomize_builds_each_folder(self):
        for folder, kind in self.BUILT:
            built = subprocess.run(["kubectl", "kustomize", FOLDER / folder], capture_output=True, text=True, timeout=60)
            self.assertEqual(built.returncode, 0, built.stderr)
            documents = list(yaml.safe_load_all(built.stdout))
            self.assertIn(kind, [document["kind"] for document in documents])
            for document in documents:
                if document["kind"] != "Namespace":
                    self.assertEqual(document["metadata"]["namespace"], "tcpgreet")
                if folder == "metrics":
                    self.assertEqual(document.get("spec"), patched(folder)[document["kind"]].get("spec"), document["kind"])


class Kubelet(Case):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet-pod-"))
        self.addCleanup(self.remove)
        self.root.chmod(0o755)
        for path in BOUND:
            there = self.root / path[1:]
            there.parent.mkdir(parents=True, exist_ok=True)
            there.mkdir() if os.path.isdir(path) else there.touch()
            subprocess.run(["mount", "-o", "bind,ro", path, there], check=True)
        shutil.copy(BINARY, self.root / "tcpgreet")
        (self.root / "etc").mkdir(exist_ok=True)
        (self.root / "etc" / "hosts").write_text("127.0.0.1 localhost greet\n::1 localhost greet\n")  # the Service's name
        (self.root / "etc" / "nsswitch.conf").write_text("hosts: files\n")
        certs = self.root / "made"
        subprocess.run([ROOT / "scripts" / "generate-certs", "--out", certs, "--host", "greet.example.org"], check=True,
                       stdout=subprocess.DEVNULL, env=environment())
        self.volumes = {"greet-tls": {"tls.crt": (certs / "server.crt").read_bytes(), "tls.key": (certs / "server.key").read_bytes()},
                        "greet-tickets": {"keys": os.urandom(80)}, "greet-ca": {"ca.crt": (certs / "ca.crt").read_bytes()},
                        "greet-targets": {"targets": (FOLDER / "targets" / "targets").read_bytes()}}

    def remove(self):
        """The folder without what is mounted there: that is unmounted first, and read-only in any case."""
        for path in BOUND:
            subprocess.run(["umount", self.root / path[1:]], check=True)
        shutil.rmtree(self.root)

    def prepare(self, pod):
        """Volumes as the kubelet makes them: a folder behind two links, files that the pod's group may read."""
        context = pod["securityContext"]
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        for volume in pod["volumes"]:
            source = volume.get("secret") or volume["configMap"]
            folder = self.root / mounts[volume["name"]][1:]
            (folder / "..2026").mkdir(parents=True)
            (folder / "..data").symlink_to("..2026")
            for name, data in self.volumes[source.get("secretName") or source["name"]].items():
                (folder / "..2026" / name).write_bytes(data)
                (folder / "..2026" / name).chmod(source.get("defaultMode", 0o644))
                os.chown(folder / "..2026" / name, 0, context.get("fsGroup", 0))
                (folder / name).symlink_to(f"..data/{name}")
        return [shutil.which("chroot"), f"--userspec={context['runAsUser']}:{context['runAsGroup']}", self.root]

    def start(self, pod, *more):
        inside = self.prepare(pod)
        server = subprocess.Popen([*inside, "/tcpgreet", *pod["containers"][0]["args"], *more], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env={})
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.stderr.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        return inside, server

    def execute(self, command, limit_s=20):
        return subprocess.run(command, capture_output=True, timeout=limit_s, stdin=subprocess.DEVNULL, env={})

    def test_the_server_starts_passes_its_probes_and_stops_in_its_grace_period(self):
        pod = pod_of(only("server", "Deployment"))["spec"]
        container, = pod["containers"]
        inside, server = self.start(pod)
        Lines(os.dup(server.stdout.fileno())).expect(r"Waiting for connection on 0.0.0.0:6000 with TLS")
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container[name]
            done = self.execute([*inside, *probe["exec"]["command"]], probe["timeoutSeconds"])
            self.assertEqual(done.returncode, 0, (name, done.stderr))
        server.terminate()
        self.assertEqual(server.wait(pod["terminationGracePeriodSeconds"]), 0)
        done = self.execute([*inside, *container["readinessProbe"]["exec"]["command"]])
        self.assertEqual(done.returncode, 4, done.stderr)

    @unittest.skipIf(b"built without libmicrohttpd" in run("--version").out, "needs libmicrohttpd")
    def test_servers_with_metrics_have_what_their_autoscaler_asks_for(self):
        documents = patched("metrics")
        pod = pod_of(documents["Deployment"])
        inside, server = self.start(pod["spec"])
        lines = Lines(os.dup(server.stdout.fileno()))
        port = int(lines.expect(r"Metrics on http://0\.0\.0\.0:(\d+)/metrics")[0][1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            metrics = answer.read().decode()
        asked, = (metric["pods"] for metric in documents["HorizontalPodAutoscaler"]["spec"]["metrics"] if metric["type"] == "Pods")
        self.assertRegex(metrics, rf"(?m)^{asked['metric']['name']} 0$")
        self.assertIn({"name": "metrics", "containerPort": port}, pod["spec"]["containers"][0]["ports"])
        self.assertEqual(pod["metadata"]["annotations"]["prometheus.io/port"], str(port))
        self.assertEqual([at["ports"][0]["port"] for at in documents["NetworkPolicy"]["spec"]["ingress"]], [6000, port])
        probe = pod["spec"]["containers"][0]["readinessProbe"]
        self.assertEqual(self.execute([*inside, *probe["exec"]["command"]], probe["timeoutSeconds"]).returncode, 0)

    def test_a_full_server_is_not_ready_and_not_restarted(self):
        pod = pod_of(only("server", "Deployment"))["spec"]
        container, = pod["containers"]
        inside, server = self.start(pod, "--max-connections", "2", "--max-per-address", "2")
        Lines(os.dup(server.stdout.fileno())).expect(r"Waiting for connection on 0.0.0.0:6000 with TLS")
        context = ssl.create_default_context(cafile=self.root / "made" / "ca.crt")
        with contextlib.ExitStack() as peers:
            for _ in range(2):
                peer = peers.enter_context(socket.create_connection(("127.0.0.1", 6000)))
                peers.enter_context(context.wrap_socket(peer, server_hostname="greet.example.org"))
            for name, codes in (("readinessProbe", (5, 7)), ("livenessProbe", (0,))):
                probe = container[name]
                done = self.execute([*inside, *probe["exec"]["command"]], probe["timeoutSeconds"])
                self.assertIn(done.returncode, codes, (name, done.stderr))
        server.terminate()
        self.assertEqual(server.wait(pod["terminationGracePeriodSeconds"]), 0)
        done = self.execute([*inside, *container["livenessProbe"]["exec"]["command"]])
        self.assertEqual(done.returncode, 4, done.stderr)

    def test_a_renewed_secret_is_loaded_without_a_restart(self):
        inside, server = self.start(pod_of(only("server", "Deployment"))["spec"])
        Lines(os.dup(server.stdout.fileno())).expect(r"Waiting for connection on 0.0.0.0:6000 with TLS")
        log = Lines(os.dup(server.stderr.fileno()))
        subprocess.run([ROOT / "scripts" / "generate-certs", "--out", self.root / "renewed", "--host", "greet.example.org"],
                       check=True, stdout=subprocess.DEVNULL, env=environment())
        (self.root / "tls" / "..2027").mkdir()
        for name, made in (("tls.crt", "server.crt"), ("tls.key", "server.key")):
            there = self.root / "tls" / "..2027" / name
            there.write_bytes((self.root / "renewed" / made).read_bytes())
            there.chmod(0o440)
            os.chown(there, 0, 65532)
        (self.root / "tls" / "..data_tmp").symlink_to("..2027")
        (self.root / "tls" / "..data_tmp").rename(self.root / "tls" / "..data")  # as the kubelet replaces all at once
        log.expect(r'"event": ?"reloaded"')
        context = ssl.create_default_context(cafile=self.root / "renewed" / "ca.crt")
        with socket.create_connection(("127.0.0.1", 6000)) as peer, \
                context.wrap_socket(peer, server_hostname="greet.example.org") as peer:
            peer.sendall(b"exit\n")

    def test_the_bench_of_each_pod_and_the_targets_run_against_the_servers(self):
        inside, server = self.start(pod_of(only("server", "Deployment"))["spec"])
        Lines(os.dup(server.stdout.fileno())).expect(r"Waiting for connection on 0.0.0.0:6000 with TLS")
        job = only("bench", "Job")
        pod = pod_of(job)["spec"]
        inside = self.prepare(pod)
        args = pod["containers"][0]["args"]
        args[args.index("--duration") + 1] = "1s"
        for index in range(job["spec"]["completions"]):
            done = self.execute([*inside, "/tcpgreet", *args])
            self.assertEqual(done.returncode, 0, done.stderr)
            (self.root / f"greet-bench-{index}.json").write_bytes(done.stdout)
        merged = run("--bench-merge", *sorted(self.root.glob("greet-bench-*.json")), "--format", "json")
        self.assertEqual(merged.code, 0, merged)
        self.assertEqual(json.loads(merged.out)["failures"], {})

        pod = pod_of(only("targets", "CronJob"))["spec"]
        done = self.execute([*self.prepare(pod), "/tcpgreet", *pod["containers"][0]["args"]])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


def why_not():
    if missing := lacking("unshare", "ip", "chroot", "mount", "openssl"):
        return missing
    if yaml is None:
        return "needs Python's yaml (scripts/install-dependencies packaging)"
    if not IS_ROOT:
        return "needs root, for a network and a root of its own"
    if not has_tls():
        return "this program was built without TLS"
    return None


if __name__ == "__main__":
    if why_not():
        skip_file(why_not())
    isolate()
    main()
