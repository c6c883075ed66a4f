"""packaging/container: the image that buildah makes of a static program, and its program run from the image's root."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import BINARY, IS_ROOT, ROOT, Case, Lines, environment, isolate, lacking, main, skip_file

FILE = ROOT / "packaging" / "container" / "Containerfile"


class Container(Case):
    limit_s = 120

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet-container-"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "context").mkdir()
        shutil.copy(BINARY, self.folder / "context" / "tcpgreet")

    def buildah(self, *args):
        storage = ["--root", self.folder / "storage", "--runroot", self.folder / "run", "--storage-driver", "vfs"]
        done = subprocess.run(["buildah", *storage, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env=environment(BUILDAH_ISOLATION="chroot"))
        if done.returncode != 0:
            raise AssertionError(f"buildah {args}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def test_its_command_serves_its_check_passes_and_it_has_no_rights(self):
        self.buildah("build", "--format", "docker", "--file", FILE, "--tag", "tried", self.folder / "context")
        config = json.loads(self.buildah("inspect", "--type", "image", "tried"))["Docker"]["config"]
        user, check = config["User"], config["Healthcheck"]["Test"]
        self.assertRegex(user, r"^[1-9]\d*:[1-9]\d*$")
        self.assertEqual(check[0], "CMD")
        root = self.buildah("mount", self.buildah("from", "tried"))
        self.addCleanup(self.buildah, "umount", "--all")
        self.assertEqual(os.listdir(root), ["tcpgreet"])

        chroot = ["chroot", f"--userspec={user}", root]
        unserved = subprocess.run([*chroot, *check[1:]], timeout=20)
        self.assertEqual(unserved.returncode, 4)
        server = subprocess.Popen([*chroot, *config["Entrypoint"], *config["Cmd"]], stdout=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        Lines(os.dup(server.stdout.fileno())).expect("Waiting for connection on 0.0.0.0:6000")
        self.assertEqual(os.stat(f"/proc/{server.pid}").st_uid, int(user.split(":")[0]))
        checked = subprocess.run([*chroot, *check[1:]], timeout=20)
        self.assertEqual(checked.returncode, 0)
        server.terminate()
        self.assertEqual(server.wait(20), 0)
        server.stdout.close()


def why_not():
    if missing := lacking("buildah", "unshare", "chroot", "ip", "readelf"):
        return missing
    if not IS_ROOT:
        return "needs root, for the image's root and a network of its own"
    if "NEEDED" in subprocess.run(["readelf", "-d", BINARY], capture_output=True, text=True).stdout:
        return "an image is made of a static program (cmake --preset static)"
    return None


if __name__ == "__main__":
    if why_not():
        skip_file(why_not())
    isolate()  # port 6000 is free there
    main()
