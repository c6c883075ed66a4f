"""packaging/kubernetes: the manifests hold together, and their containers and probes are executed as they are written, by a
stand-in for the kubelet: a root of their own with the volumes, as their user, in a network of its own."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

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


def pod_of(document):
    spec = document["spec"]
    return spec.get("jobTemplate", document)["spec"]["template"]


class Manifests(Case):
    PODS = (("server", "Deployment"), ("bench", "Job"), ("targets", "CronJob"))

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

    def test_the_drain_fits_into_the_grace_period(self):
        pod = pod_of(only("server", "Deployment"))["spec"]
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreater(pod["terminationGracePeriodSeconds"], sleep + 9.5)

    @unittest.skipUnless(shutil.which("kubectl"), "needs kubectl")
    def test_kustomize_builds_each_folder(self):
        for folder, kind in self.PODS:
            built = subprocess.run(["kubectl", "kustomize", FOLDER / folder], capture_output=True, text=True, timeout=60)
            self.assertEqual(built.returncode, 0, built.stderr)
            documents = list(yaml.safe_load_all(built.stdout))
            self.assertIn(kind, [document["kind"] for document in documents])
            for document in documents:
                if document["kind"] != "Namespace":
                    self.assertEqual(document["metadata"]["namespace"], "tcpgreet")


class Kubelet(Case):
    limit_s = 90

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

    def start(self, pod):
        inside = self.prepare(pod)
        server = subprocess.Popen([*inside, "/tcpgreet", *pod["containers"][0]["args"]], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env={})
        self.addCleanup(server.stdout.close)
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
