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
    {"model_name": "Writer", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"},
        {"name": "born", "logical_type": "date", "nullable": True}, {"name": "fee", "logical_type": "decimal", "nullable": True},
        {"name": "token", "logical_type": "uuid", "nullable": True}, {"name": "face", "logical_type": "binary", "nullable": True},
        {"name": "limit", "logical_type": "integer", "nullable": True}]},
    {"model_name": "Novel", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "title", "logical_type": "string"},
        {"name": "writer_id", "logical_type": "integer"}], "foreign_keys": [{"column": "writer_id", "to_table": "writer"}]},
    # what case or _ alone tells apart, as databases have it
    *({"model_name": name, "table_name": f"item_{number}", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "pen_name", "logical_type": "string"}, {"name": "penName_", "logical_type": "integer"},
        {"name": "kept", "logical_type": "string"}]} for number, name in enumerate(("Shop_item", "ShopItem", "shop_item_list")))]}
WRONG_JAVA = "final class Wrong { static Object of(org.openapitools.client.model.ModelWriter w) { return w.%s(); } }\n"


def run(*command, cwd, env=None, code=0):
    done = subprocess.run([str(part) for part in command], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True,
                          timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == code, f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
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

    def validate(self, path):
        venv = self.work / "venv"
        if not (venv / "bin/openapi-spec-validator").exists():
            run(sys.executable, "-m", "venv", venv, cwd=self.work)
            run(venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", VALIDATOR, cwd=self.work)
        run(venv / "bin/openapi-spec-validator", path, cwd=self.work)

    def check_spec_validator(self):
        for path in self.documents.values():
            self.validate(path)

    def check_typescript_client(self):
        run(self.bin("openapi-typescript"), self.documents["openapi.json"], "-o", self.typescript / "ferrod.d.ts",
            "--default-non-nullable=false", cwd=self.typescript)
        run(self.bin("tsc"), "-p", ".", cwd=self.typescript)
        self.tour(["node", "out/tour.js"], self.typescript, "ts", "TypeScript")

    # ---- the models at hand: a client knows a record's members, and that there are no others ----

    def models_document(self, name, place):
        """The description with the models, which have tables in both databases; the connections' names."""
        from support.client import Client
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        with Client(self.port) as client:
            client.put("/v1/models", MODELS, params={"set": "clients"}).expect(200)
            document = place / f"models-{name}"
            document.write_bytes(client.get(f"/{name}?models=true&set=clients", validate=False).expect(200).body)
            names = []
            for backend, url in self.databases.items():
                names.append(f"{place.name.replace('-', '_')}_{backend}")
                client.post("/v1/connections", {"name": names[-1], "url": url}).expect(201)
                client.post("/v1/create-tables", {"using": names[-1]}).expect(200)
        self.validate(document)
        return document, names

    def drive_models(self, command, cwd, names, language):
        for name in names:
            said = run(*command, f"http://127.0.0.1:{self.port}", name, cwd=cwd)
            assert f"the {language} models are done on {name}" in said, said

    def check_models_typescript(self):
        document, names = self.models_document("openapi.json", self.work / "models-typescript")
        run(self.bin("openapi-typescript"), document, "-o", self.typescript / "described.d.ts", "--default-non-nullable=false", cwd=self.typescript)
        shutil.copy(HERE / "models/models.ts", self.typescript)
        run(self.bin("tsc"), "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--types", "node", "--outDir", "out-models",
            "models.ts", cwd=self.typescript)
        self.drive_models(["node", "out-models/models.js"], self.typescript, names, "TypeScript")

    def check_models_java(self):
        place = self.work / "models-java"
        document, names = self.models_document("openapi.json", place)
        path = self.java_client(document, place / "client")
        shutil.copy(HERE / "models/Models.java", place)
        run("javac", "-Xlint:all,-processing,-classfile", "-Werror", "-cp", path, "-d", "out", "Models.java", cwd=place)
        alike = sorted(path.stem for path in (place / "client/src/main/java/org/openapitools/client/model").glob("ModelShop*Given.java"))
        assert len(alike) == 3 == len({name.lower() for name in alike}), alike
        for member, code in (("getName", 0), ("getNobody", 1)):
            (place / "Wrong.java").write_text(WRONG_JAVA % member, encoding="utf-8")
            run("javac", "-cp", path, "-d", "out", "Wrong.java", cwd=place, code=code)
        self.drive_models(["java", "-cp", f"out:{path}", "Models"], place, names, "Java")

    def check_models_go(self):
        place = self.work / "models-go"
        document, names = self.models_document("openapi-3.0.json", place)
        env = self.install_codegen()
        for name in ("go.mod", "go.sum", "oapi-codegen.yaml", "help.go"):
            shutil.copy(HERE / "go" / name, place)
        shutil.copy(HERE / "models/models.go", place)
        (place / "ferrod").mkdir()
        run(self.work / "bin/oapi-codegen", "-config", "oapi-codegen.yaml", document, cwd=place)
        run("go", "vet", "./...", cwd=place, env=env)
        run("go", "build", "-o", "models", ".", cwd=place, env=env)
        self.drive_models(["./models"], place, names, "Go")

    def install_codegen(self):
        env = {"GOBIN": str(self.work / "bin"), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
        if not (self.work / "bin/oapi-codegen").exists():
            run("go", "install", CODEGEN, cwd=self.work, env=env)
        return env

    def check_go_client(self):
        env = self.install_codegen()
        (self.go / "ferrod").mkdir(exist_ok=True)
        run(self.work / "bin/oapi-codegen", "-config", "oapi-codegen.yaml", self.documents["openapi-3.0.json"], cwd=self.go)
        run("go", "vet", "./...", cwd=self.go, env=env)
        run("go", "build", "-o", "tour", ".", cwd=self.go, env=env)
        self.tour(["./tour"], self.go, "go", "Go")

    def generate(self, language, target, document=None):
        """A client as openapi-generator makes it of /openapi.json, all its options at their defaults."""
        coordinates = f"org.openapitools:openapi-generator-cli:{GENERATOR}"
        jar = self.work / f"openapi-generator-cli-{GENERATOR}.jar"
        if not jar.exists():
            run("mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get", f"-Dartifact={coordinates}", cwd=self.work)
            run("mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy", f"-Dartifact={coordinates}",
                f"-DoutputDirectory={self.work}", cwd=self.work)
        shutil.rmtree(target, ignore_errors=True)
        run("java", "-jar", jar, "generate", "-g", language, "-i", document or self.documents["openapi.json"], "-o", target, cwd=self.work)

    def java_client(self, document, client):
        """Generated and compiled; its class path."""
        self.generate("java", client, document)
        run("mvn", "-q", "-B", "-DskipTests", "-Dmaven.javadoc.skip=true", "package", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
            "-DincludeScope=runtime", f"-DoutputDirectory={client}/target/lib", cwd=client)
        return f"{client}/target/classes:{client}/target/lib/*"

    def check_java_client(self):
        path = self.java_client(self.documents["openapi.json"], self.java / "client")
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
                              self.check_models_typescript, self.check_models_java, self.check_models_go,
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
