"""Runs a `bootstrap` as a host process behind the Lambda Runtime API (2018-06-01), one loopback server per environment.

LocalStack's own executor endpoint is not needed, since invoke() may return the result itself. No memory limit, no
sandbox: the function sees the host's files and network.
"""
import collections
import ctypes
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import LambdaRuntimeException, RuntimeExecutor

API = "/2018-06-01/runtime/"
INIT_SECONDS = 10.0
LIBC = ctypes.CDLL("libc.so.6")
# PR_SET_PDEATHSIG follows the *thread* that forked, so one thread that never ends does all the forking.
SPAWNER = ThreadPoolExecutor(1, "lambda-spawner")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def _reply(self, status, body=b"", headers=()):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        out = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):  # trailers
            pass
        return out

    def do_GET(self):
        env = self.server.environment
        if self.path != API + "invocation/next":
            return self._reply(404)
        env.ready.set()
        if (call := env.pending.get()) is None:
            return self._reply(500)
        self._reply(200, call["payload"].encode(), [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", call["invoke-id"]),
            ("Lambda-Runtime-Deadline-Ms", str(int((time.time() + env.timeout) * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", call["invoked-function-arn"]),
            ("Lambda-Runtime-Trace-Id", call.get("trace-id") or "")])

    def do_POST(self):
        env, body, rest = self.server.environment, self._body(), self.path.removeprefix(API).split("/")
        if rest == ["init", "error"]:
            env.init_error = body
            env.ready.set()
        elif len(rest) == 3 and rest[0] == "invocation" and rest[2] in ("response", "error"):
            env.finish(rest[1], body, rest[2] == "error")
        else:
            return self._reply(404)
        self._reply(202, b"{}", [("Content-Type", "application/json")])


class ProcessRuntimeExecutor(RuntimeExecutor):
    def __init__(self, id, function_version):
        super().__init__(id=id, function_version=function_version)
        self.timeout = function_version.config.timeout
        self.server = self.process = None
        self.variables: dict[str, str] = {}
        self.current: tuple[str, Future] | None = None
        self.log = collections.deque(maxlen=2000)
        self.call_log: list[str] = []

    def start(self, env_vars):
        self.variables = {k: str(v) for k, v in env_vars.items() if v is not None}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.environment = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self._spawn()

    def _spawn(self):
        # An update unpacks the new code and then removes the old version's, which is the same where only settings changed.
        self.function_version.config.code.prepare_for_execution()
        root = Path(self.function_version.config.code.get_unzipped_code_location())
        bootstrap = root / "bootstrap"
        if not bootstrap.exists():
            raise LambdaRuntimeException(f"Runtime.InvalidEntrypoint: no bootstrap in {root}")
        bootstrap.chmod(0o755)
        self.pending, self.ready, self.init_error = queue.Queue(), threading.Event(), None
        variables = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "en_US.UTF-8", "HOME": tempfile.gettempdir(), **self.variables,
                     "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_address[1]}", "LAMBDA_TASK_ROOT": str(root)}
        self.process = process = SPAWNER.submit(
            subprocess.Popen, [str(bootstrap)], cwd=root, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=lambda: LIBC.prctl(1, signal.SIGKILL)).result()
        threading.Thread(target=self._pump, args=(process,), daemon=True).start()
        end = time.time() + INIT_SECONDS
        while not self.ready.wait(0.01):
            if process.poll() is not None or time.time() > end:
                self._kill()
                raise LambdaRuntimeException(f"Runtime.InitError: exit status {process.returncode}\n{self.get_logs()[-2000:]}")
        if self.init_error is not None:
            self._kill()
            raise LambdaRuntimeException(f"Runtime.InitError: {self.init_error.decode(errors='replace')}")

    def _pump(self, process):
        for line in process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            self.log.append(text)
            self.call_log.append(text)
        process.wait()
        if self.process is process and (current := self.current):  # died during an invocation
            self.finish(current[0], *self._error("Runtime.ExitError", current[0], f"Runtime exited with error: exit status {process.returncode}"))

    @staticmethod
    def _error(kind, request_id, text):
        return json.dumps({"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {text}"}).encode(), True

    def _kill(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)

    def stop(self):
        self._kill()
        self.process = None
        if self.current and not self.current[1].done():
            self.current[1].cancel()
        if self.server:
            self.pending.put(None)
            threading.Thread(target=lambda s: (s.shutdown(), s.server_close()), args=(self.server,), daemon=True).start()

    def finish(self, request_id, body, is_error):
        current = self.current
        if current and current[0] == request_id and not current[1].done():
            current[1].set_result((body, is_error))

    def invoke(self, payload):
        request_id, start = payload["invoke-id"], time.time()
        if self.process is None or self.process.poll() is not None:
            self._spawn()  # after a crash or a timeout
        self.call_log, answer = [], Future()
        self.current = (request_id, answer)
        self.pending.put(payload)
        try:
            body, is_error = answer.result(timeout=self.timeout)
        except Late:
            self.current = None
            self._kill()
            body, is_error = self._error("Sandbox.Timedout", request_id, f"Task timed out after {self.timeout:.2f} seconds")
        finally:
            self.current = None
        ms, memory = (time.time() - start) * 1000, self.function_version.config.memory_size
        lines = [f"START RequestId: {request_id} Version: {self.function_version.id.qualifier}", *self.call_log, f"END RequestId: {request_id}",
                 f"REPORT RequestId: {request_id}\tDuration: {ms:.2f} ms\tBilled Duration: {int(ms) + 1} ms\tMemory Size: {memory} MB\tMax Memory Used: {memory} MB"]
        return InvocationResult(request_id, body, is_error=is_error, logs="\n".join(lines) + "\n")

    def get_address(self):
        return "127.0.0.1"

    get_endpoint_from_executor = get_address

    def get_runtime_endpoint(self):
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    def get_logs(self):
        return "\n".join(self.log)

    @classmethod
    def prepare_version(cls, function_version):
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        if function_version.config.code and not function_version.config.code.is_hot_reloading():
            function_version.config.code.destroy_cached()
