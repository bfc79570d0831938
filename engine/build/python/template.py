"""Waits with everything loaded that functions commonly need, and forks a pod whenever one is ordered.

An order is a message on descriptor 3, a socket that keeps messages whole: one byte, and files. The byte is 1 if the pod
shall be the first process of a PID namespace of its own. The files are the order's text, the wire (a socket for this one
pod), what becomes the pod's output, its listening sockets, and what the steps into its confinement name. Only the pod
reads the text, as it holds the app's secrets.

On the wire the template tells the pod's process id, with a descriptor of it, and at last its wait status; in between the
pod tells that it has entered its confinement, or why not. When the other end of the wire is closed, what is left of the
pod's process group is killed and its process id given up. When the template ends, the kernel kills its pods.

No code of an app runs here, and everything happens in one thread: a process with several must not be forked.

Linux, Python 3.9 or newer, standard library only.
"""

import sys

import launcher

# What a pod that was started without a template has loaded too, when it begins with the app's code.
LOADED_ANYWAY = frozenset(sys.modules)

import base64
import contextlib
import ctypes
import fcntl
import gc
import importlib
import importlib.machinery
import json
import os
import resource
import select
import signal
import socket
import struct
import time

ORDERS = 3
MAX_FILES = 250  # The kernel passes up to 253 at once.

# Worth having loaded because many functions import them and each costs a start a millisecond or more. None starts a
# thread, opens a file, or draws a secret when it is imported.
COMMON = (
    "argparse", "asyncio", "bz2", "calendar", "concurrent.futures.thread", "contextvars", "csv", "dataclasses", "datetime",
    "decimal", "difflib", "email.message", "email.mime.multipart", "email.mime.text", "email.parser", "encodings.idna",
    "fractions", "glob", "gzip", "hashlib", "hmac", "html.parser", "http.client", "http.cookies", "http.server",
    "importlib.metadata", "inspect", "ipaddress", "logging.config", "logging.handlers", "lzma", "mimetypes", "pathlib",
    "pickle", "platform", "pprint", "queue", "random", "secrets", "shlex", "shutil", "sqlite3", "ssl", "statistics",
    "string", "subprocess", "tempfile", "textwrap", "traceback", "typing", "unicodedata", "urllib.request", "uuid",
    "xml.etree.ElementTree", "zipfile", "zoneinfo",
)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
CLONE_NEWPID = 0x20000000
CLOSE_RANGE, LANDLOCK_RESTRICT_SELF = 436, 446  # System calls; they have these numbers on every machine but Alpha.

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def prctl(option, *values):
    check(libc.prctl(option, *(ctypes.c_ulong(value) for value in values + (0,) * (4 - len(values)))))


def system_call(number, *values):
    check(libc.syscall(*(ctypes.c_long(value) for value in (number,) + values)))


def load_common():
    """Answers the names of the modules that are loaded then and would not be without, by the packages that they are in."""
    for name in COMMON:
        with contextlib.suppress(ImportError):  # A Python may be built without what some of them need.
            importlib.import_module(name)
    loaded = {}
    for name in sys.modules.keys() - LOADED_ANYWAY:
        loaded.setdefault(name.partition(".")[0], []).append(name)
    return loaded


class Template:
    """Forks pods, and holds on to those that have exited until the driver lets go of them."""

    def __init__(self):
        self.orders = socket.socket(fileno=ORDERS)
        self.namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        self.pids = {}  # By wire.
        self.wires = {}  # By the descriptor of the process, until it has exited.
        self.poll = select.poll()
        self.poll.register(self.orders, select.POLLIN)

    def serve(self):
        """Answers an order's files in the process that was forked for it, and None in this one when the driver has gone."""
        self.orders.send(notice(ready=True))
        while True:
            # One at a time, as each may close descriptors that others are then given; the ends of pods come first.
            descriptor, _ = self.poll.poll()[-1]
            if descriptor in self.wires:
                self.tell_end(descriptor)
            elif descriptor in self.pids:
                self.let_go(descriptor)
            else:
                flag, files = self.receive()
                if not flag:
                    return None
                if files and self.fork(flag == b"\1", files):
                    return files

    def receive(self):
        """Answers the byte and the files of an order: no byte when the driver has gone, and no files when there is no room for
        all of them, which ends the order's wire and tells the driver so."""
        flag, files, flags, _ = socket.recv_fds(self.orders, 1, MAX_FILES)
        if flags & socket.MSG_CTRUNC:
            close_all(files)
            files = []
        return flag, files

    def fork(self, new_pid, files):
        """Answers True in the pod."""
        wire = files[1]
        try:
            if new_pid:
                check(libc.unshare(CLONE_NEWPID))  # For what is forked next, not for this process.
            pid = os.fork()
            if pid == 0:
                self.orders.detach()  # All descriptors are closed by number before another may have theirs.
                return True
            self.keep(pid, wire)
        except OSError as error:
            tell(wire, fault="fork: %s" % error)
            os.close(wire)
        close_all(file for file in files if file != wire)
        if new_pid:
            check(libc.setns(self.namespace, CLONE_NEWPID))
        return False

    def keep(self, pid, wire):
        try:
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)  # The pod does so too, and may be far ahead.
            process = os.pidfd_open(pid)
        except OSError:
            end(pid)
            raise
        self.pids[wire], self.wires[process] = pid, wire
        self.poll.register(wire, 0)  # Its end is told unasked.
        self.poll.register(process, select.POLLIN)
        tell_process(wire, pid, process)

    def tell_end(self, process):
        wire = self.wires.pop(process)
        self.poll.unregister(process)
        os.close(process)
        ended = os.waitid(os.P_PID, self.pids[wire], os.WEXITED | os.WNOWAIT)
        tell(wire, status=ended.si_status << 8 if ended.si_code == os.CLD_EXITED else ended.si_status)

    def let_go(self, wire):
        pid = self.pids.pop(wire)
        self.poll.unregister(wire)
        os.close(wire)
        for process in [p for p, w in self.wires.items() if w == wire]:
            del self.wires[process]
            self.poll.unregister(process)
            os.close(process)
        end(pid)


def end(pid):
    """Kills the process group of a child, which its number is sure to mean until the child is reaped, and reaps it."""
    for kill in os.killpg, os.kill:
        with contextlib.suppress(OSError):  # There is no such group any longer.
            kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def notice(**said):
    return json.dumps(said).encode()


def tell(wire, **said):
    with contextlib.suppress(OSError):  # That the driver has let go is heard from the wire too.
        os.write(wire, notice(**said))


def tell_process(wire, pid, process):
    sender = socket.socket(fileno=wire)
    with contextlib.suppress(OSError):  # As in tell.
        socket.send_fds(sender, [notice(pid=pid)], [process])
    sender.detach()


def close_all(descriptors):
    for descriptor in descriptors:
        os.close(descriptor)


class Pod:
    """A process that was forked for an order, on its way to being what a plain start would have made of it."""

    def __init__(self, files, origin):
        self.origin = origin
        self.order = json.loads(os.read(files[0], os.fstat(files[0]).st_size))
        # Out of the way of the sockets, which become the descriptors from 3 up.
        first = ORDERS + self.order["sockets"]
        self.wire, self.output, *others = (fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, first) for file in files[1:])
        self.sockets = others[: self.order["sockets"]]
        self.files = others[self.order["sockets"] :]

    def become(self):
        """Enters the confinement; if that fails, the process ends here."""
        try:
            self.leave_template()
            for step in self.order["steps"] or ():
                self.take(step)
            os.chdir(self.order["dir"])
        except BaseException as error:
            tell(self.wire, fault=describe(error))
            os._exit(1)
        tell(self.wire, entered=True)
        system_call(CLOSE_RANGE, ORDERS + len(self.sockets), 2**32 - 1, 0)
        prctl(PR_SET_DUMPABLE, 1)  # Its own user may look into it again, now that it has nothing of the template's.

    def leave_template(self):
        os.setpgid(0, 0)
        for number in 1, 2:
            os.dup2(self.output, number)
        for number, listener in enumerate(self.sockets, ORDERS):
            os.dup2(listener, number, inheritable=False)
        self.origin.restore_limit()
        self.origin.stay_with_it()
        self.take_environment()

    def take_environment(self):
        os.environ.clear()
        os.environ.update(pair.split("=", 1) for pair in self.order["env"])
        self.origin.show_environment(self.order["env"])
        if "TZ" in os.environ:
            time.tzset()

    def take(self, step):
        for name, value in step.items():
            if name == "join":
                os.write(self.files[value], b"0")
            elif name == "set_ns":
                check(libc.setns(self.files[value], 0))
            elif name == "user":
                become_user(value)
                self.origin.stay_with_it()
            elif name == "no_new_privileges":
                prctl(PR_SET_NO_NEW_PRIVS, 1)
            elif name == "landlock":
                system_call(LANDLOCK_RESTRICT_SELF, self.files[value], 0)
            elif name == "seccomp":
                filter_calls(base64.b64decode(value))
            else:
                raise ValueError("unknown step %r" % name)


def describe(error):
    return "%s: %s" % (type(error).__name__, error)


def become_user(number):
    os.setgroups([])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)


def filter_calls(program):
    """Lets the kernel hold every system call against a filter, a list of instructions of 8 bytes."""
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: their number, and where they are.
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions)))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(described))


class Origin:
    """What a pod needs to know of its template, from before it was forked."""

    def __init__(self):
        self.process = os.pidfd_open(os.getpid())
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Where the kernel finds what it shows in /proc/<pid>/environ.
        with open("/proc/self/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        self.environment, end = int(fields[47]), int(fields[48])
        self.room = end - self.environment

    def restore_limit(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, self.limit)

    def stay_with_it(self):
        """Makes this process end with the template. A change of user undoes it."""
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        ended = select.poll()
        ended.register(self.process, select.POLLIN)
        if ended.poll(0):
            os._exit(1)

    def show_environment(self, pairs):
        """Shows pairs in place of the template's environment, as many as there is room for. The driver looks there to find
        what a pod leaves behind: TMPDIR tells whose a process is."""
        pairs = sorted(pairs, key=lambda pair: not pair.startswith("TMPDIR="))
        text = "".join(pair + "\0" for pair in pairs).encode()[: self.room]
        ctypes.memmove(self.environment, text.ljust(self.room, b"\0"), self.room)


def forget_shadowed(loaded, paths):
    """Forgets what the app has modules of its own for, as far as a plain start would have taken those. To look at each
    module that is loaded would cost a page of memory for each."""
    own = {name.partition(".")[0] for path in paths if os.path.isdir(path) for name in os.listdir(path)}
    for top in own:
        if top in loaded and comes_from(top, paths):
            for name in loaded[top]:
                del sys.modules[name]


def comes_from(name, paths):
    spec = importlib.machinery.PathFinder.find_spec(name, paths)
    return spec is not None and spec.has_location


def run(loaded):
    """Does what the launcher does when it is started by itself."""
    sys.argv = [launcher.__file__]
    launcher.__name__ = "__main__"
    sys.modules["__main__"] = sys.modules.pop("launcher")
    forget_shadowed(loaded, launcher.paths())
    gc.enable()
    launcher.main()


def main():
    gc.disable()
    loaded = load_common()
    origin = Origin()
    hard = origin.limit[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # A template holds two descriptors for every pod.
    prctl(PR_SET_DUMPABLE, 0)  # No pod looks into it, even if it runs as the same user.
    template = Template()
    gc.collect()
    gc.freeze()  # So that a collection in a pod does not write to, and thereby copy, what all share.
    files = template.serve()
    if files is not None:
        Pod(files, origin).become()
        run(loaded)


if __name__ == "__main__":
    main()
