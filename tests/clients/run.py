"""Lints the API description with the public linters, generates clients of it, and drives the server with them.

run.py --build build/release [--work build/clients]. The tools come from the npm registry (pinned in
typescript/package-lock.json), PyPI and the Go module proxy, into --work. Ends with `N passed, N failed, N skipped`.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VALIDATOR = "openapi-spec-validator==0.9.0"
MYPY = "mypy==1.18.2"
GENERATOR = "7.25.0"  # of openapi-generator, from Maven Central
CODEGEN = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"
SECONDS = 900

MODELS = {"models": [
    {"model_name": "Writer", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"},
                                         {"name": "born", "logical_type": "date", "nullable": True}]},
    {"model_name": "Novel", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "writer_id", "logical_type": "integer"}],
     "foreign_keys": [{"column": "writer_id", "to_table": "writer"}]}]}
MODELS_TS = """
import type { components, paths } from "./described";
type Writer = components["schemas"]["Model_Writer"];
type Novel = components["schemas"]["Model_Novel"];
export const shown = (w: Writer): [number, string, string | null] => [w.id, w.name, w.born];
export const of = (n: Novel): string | undefined => n.writer?.name;
export const given: components["schemas"]["Model_Writer_given"] = { name: "Ann" };
export const asked: paths["/v1/models/Writer/records"]["get"]["parameters"]["query"] = { name: "eq.Ann" };
// @ts-expect-error there is no such member
export const wrong = (w: Writer) => w.nobody;
// @ts-expect-error a name must be given
export const lacking: components["schemas"]["Model_Writer_given"] = {};
// @ts-expect-error it is a text
export const number: components["schemas"]["Model_Writer_given"] = { name: 1 };
"""


def run(*command, cwd, env=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True,
                          timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
    return done.stdout


class Clients:
    def __init__(self, options):
        self.only = options.only
        self.work = (ROOT / options.work).resolve()
        self.binary = (ROOT / options.build / "ferrod").resolve()
        self.typescript, self.go = self.work / "typescript", self.work / "go"
        self.java, self.rust, self.python = self.work / "java", self.work / "rust", self.work / "python"
        self.documents = {}

    def bin(self, name):
        return self.typescript / "node_modules/.bin" / name

    def fetch_documents(self, server):
        """The descriptions as the server serves them: what a client's author has."""
        from support.client import Client
        with Client(server.port) as client:
            for name in ("openapi.yaml", "openapi.json", "openapi-3.0.json"):
                path = self.work / name
                path.write_bytes(client.get(f"/{name}").expect(200).body)
                self.documents[name] = path

    def install(self):
        for part in ("typescript", "go", "java", "rust", "python"):
            shutil.copytree(HERE / part, self.work / part, dirs_exist_ok=True)
        run("npm", "ci", "--no-audit", "--no-fund", cwd=self.typescript)

    # ---- what is checked ----

    def check_redocly(self):
        for name in ("openapi.yaml", "openapi-3.0.json"):
            said = json.loads(run(self.bin("redocly"), "lint", "--format=json", f"--config={HERE}/redocly.yaml", self.documents[name],
                                  cwd=self.work, env={"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}))
            totals = said["totals"]
            assert totals["errors"] == 0 and totals["warnings"] == 0, f"{name}: {json.dumps(said['problems'])[:4000]}"

    def check_spectral(self):
        run(self.bin("spectral"), "lint", f"--ruleset={HERE}/spectral.yaml", "--fail-severity=hint", self.documents["openapi.yaml"], cwd=self.work)

    def check_spec_validator(self):
        venv = self.work / "venv"
        if not (venv / "bin/openapi-spec-validator").exists():
            run(sys.executable, "-m", "venv", venv, cwd=self.work)
            run(venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", VALIDATOR, cwd=self.work)
        for path in self.documents.values():
            run(venv / "bin/openapi-spec-validator", path, cwd=self.work)

    def check_typescript_client(self):
        run(self.bin("openapi-typescript"), self.documents["openapi.json"], "-o", self.typescript / "ferrod.d.ts",
            "--default-non-nullable=false", cwd=self.typescript)
        run(self.bin("tsc"), "-p", ".", cwd=self.typescript)
        self.tour(["node", "out/tour.js"], self.typescript, "ts", "TypeScript")

    def check_models_typescript(self):
        """Of a document with the models at hand: the client knows a record's members, and that there are no others."""
        from support.client import Client
        place = self.work / "models"
        place.mkdir(exist_ok=True)
        with Client(self.port) as client:
            client.put("/v1/models", MODELS, params={"set": "clients"}).expect(200)
            document = place / "models.json"
            document.write_bytes(client.get("/openapi.json?models=true&set=clients", validate=False).expect(200).body)
            client.put("/v1/models", {"models": []}, params={"set": "clients"}).expect(200)
        run(self.bin("openapi-typescript"), document, "-o", place / "described.d.ts", "--default-non-nullable=false", cwd=self.typescript)
        (place / "models.ts").write_text(MODELS_TS, encoding="utf-8")
        run(self.bin("tsc"), "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", place / "models.ts", cwd=self.typescript)

    def check_go_client(self):
        env = {"GOBIN": str(self.work / "bin"), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
        if not (self.work / "bin/oapi-codegen").exists():
            run("go", "install", CODEGEN, cwd=self.work, env=env)
        (self.go / "ferrod").mkdir(exist_ok=True)
        run(self.work / "bin/oapi-codegen", "-config", "oapi-codegen.yaml", self.documents["openapi-3.0.json"], cwd=self.go)
        run("go", "vet", "./...", cwd=self.go, env=env)
        run("go", "build", "-o", "tour", ".", cwd=self.go, env=env)
        self.tour(["./tour"], self.go, "go", "Go")

    def generate(self, language, target):
        """A client as openapi-generator makes it of /openapi.json, all its options at their defaults."""
        coordinates = f"org.openapitools:openapi-generator-cli:{GENERATOR}"
        jar = self.work / f"openapi-generator-cli-{GENERATOR}.jar"
        if not jar.exists():
            run("mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get", f"-Dartifact={coordinates}", cwd=self.work)
            run("mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy", f"-Dartifact={coordinates}",
                f"-DoutputDirectory={self.work}", cwd=self.work)
        shutil.rmtree(target, ignore_errors=True)
        run("java", "-jar", jar, "generate", "-g", language, "-i", self.documents["openapi.json"], "-o", target, cwd=self.work)

    def check_java_client(self):
        client = self.java / "client"
        self.generate("java", client)
        run("mvn", "-q", "-B", "-DskipTests", "-Dmaven.javadoc.skip=true", "package", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
            "-DincludeScope=runtime", f"-DoutputDirectory={client}/target/lib", cwd=client)
        path = f"{client}/target/classes:{client}/target/lib/*"
        run("javac", "-Xlint:all,-processing,-classfile", "-Werror", "-cp", path, "-d", self.java / "out", "Tour.java", cwd=self.java)
        self.tour(["java", "-cp", f"{self.java}/out:{path}", "Tour"], self.java, "java", "Java")

    def check_rust_client(self):
        self.generate("rust", self.rust / "client")
        run("cargo", "build", "--quiet", cwd=self.rust, env={"RUSTFLAGS": "-D warnings"})
        self.tour([self.rust / "target/debug/tour"], self.rust, "rust", "Rust")

    def check_python_client(self):
        client, venv = self.python / "client", self.work / "python-venv"
        self.generate("python", client)
        if not venv.exists():
            run(sys.executable, "-m", "venv", venv, cwd=self.work)
        run(venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", MYPY, client, cwd=self.work)
        run(venv / "bin/mypy", "--strict", "--follow-imports=silent", "tour.py", cwd=self.python)
        # the contract's member `register` has the name of something in pydantic's base class: it says so, and goes on
        self.tour([venv / "bin/python", "-W", "error", "-W", "ignore:Field name:UserWarning", "tour.py"], self.python, "python", "Python")

    def check_readme(self):
        """The README's client, line by line; the versions it names are those that are tested."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        text = text[text.index("<!-- client -->"):text.index("<!-- end of client -->")]
        commands = text.split("```sh\n")[1].split("```")[0]
        pinned = json.loads((HERE / "typescript/package.json").read_text(encoding="utf-8"))
        for name in ("openapi-fetch", "openapi-typescript", "typescript"):
            assert f" {name}@{ {**pinned['dependencies'], **pinned['devDependencies']}[name]}" in commands, name
        place = self.work / "readme"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        said = run("bash", "-euc", commands.replace("localhost:8080", f"127.0.0.1:{self.port}"), cwd=place)
        assert said.rstrip().endswith("{ answer: 42 }"), said

    def tour(self, command, cwd, name, language):
        for backend, url in self.databases.items():
            said = run(*command, f"http://127.0.0.1:{self.port}", url, f"{name}_{backend}", cwd=cwd)
            assert f"the {language} tour is done on {backend}" in said, said

    def all(self):
        os.environ["FERROD_BIN"] = str(self.binary)
        sys.path.insert(0, str(ROOT / "tests"))
        from support.pg import Postgres
        from support.server import Server
        passed = failed = 0
        self.work.mkdir(parents=True, exist_ok=True)
        self.install()
        postgres = Postgres()
        try:
            with Server() as server:
                self.fetch_documents(server)
                self.port = server.port
                for check in (self.check_redocly, self.check_spectral, self.check_spec_validator, self.check_typescript_client,
                              self.check_models_typescript,
                              self.check_go_client, self.check_java_client, self.check_rust_client, self.check_python_client,
                              self.check_readme):
                    if self.only and check.__name__[6:] not in self.only:
                        continue
                    self.databases = {"sqlite": f"sqlite:{server.dir}/{check.__name__}.db?mode=rwc",
                                      "postgres": postgres.url(postgres.create_database())}
                    try:
                        check()
                        passed += 1
                        print(f"{check.__name__[6:]}: good", flush=True)
                    except Exception:
                        failed += 1
                        print(f"{check.__name__[6:]}: bad\n{traceback.format_exc()}", flush=True)
        finally:
            postgres.destroy()
        print(f"{passed} passed, {failed} failed, 0 skipped")
        return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--work", default="build/clients")
    parser.add_argument("--only", action="append", help="a check's name, as it is printed; may be given more than once")
    sys.exit(Clients(parser.parse_args()).all())
