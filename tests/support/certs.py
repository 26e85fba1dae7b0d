"""Certificates made with openssl: a root, an intermediate, leaves."""
import datetime
import subprocess


def _openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


class Authority:
    """A root and an intermediate below it, in the directory; leaf() makes what a server presents."""

    def __init__(self, directory, name="root"):
        self.dir, self.name = directory, name
        self.root = directory / f"{name}.pem"
        self._key(f"{name}.key")
        _openssl("req", "-x509", "-new", "-key", str(directory / f"{name}.key"), "-subj", f"/CN={name}", "-days", "2", "-out",
                 str(self.root), "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._key(f"{name}-middle.key")
        self._signed(f"{name}-middle", f"{name}-middle", name, "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n")

    def _key(self, name, kind="ec"):
        if kind == "ec":
            _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(self.dir / name))
        else:
            _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self.dir / name))

    def _signed(self, file, subject, by, extensions):
        request, ext = self.dir / f"{file}.csr", self.dir / f"{file}.ext"
        ext.write_text(extensions)
        _openssl("req", "-new", "-key", str(self.dir / f"{file}.key"), "-subj", f"/CN={subject}", "-out", str(request))
        _openssl("x509", "-req", "-in", str(request), "-CA", str(self.dir / f"{by}.pem"), "-CAkey", str(self.dir / f"{by}.key"),
                 "-CAcreateserial", "-days", "2", "-extfile", str(ext), "-out", str(self.dir / f"{file}.pem"))

    def leaf(self, name, san="DNS:localhost,IP:127.0.0.1", kind="ec"):
        """(chain file, leaf first; key file); the subject's CN is the name."""
        self._key(f"{name}.key", kind)
        self._signed(name, name, f"{self.name}-middle", f"subjectAltName={san}\nbasicConstraints=CA:FALSE\n")
        chain = self.dir / f"{name}-chain.pem"
        chain.write_text((self.dir / f"{name}.pem").read_text() + (self.dir / f"{self.name}-middle.pem").read_text())
        return chain, self.dir / f"{name}.key"

    def client(self, file, subject, san=None, starts=-3600, ends=86400, usage="clientAuth", chained=True):
        """(chain file, key file) of a client; the subject as openssl has it (/O=Example/CN=app), its life in seconds from now."""
        def instant(seconds):
            return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y%m%d%H%M%SZ")
        self._key(f"{file}.key")
        request, settings, made = self.dir / f"{file}.csr", self.dir / f"{file}.cnf", self.dir / f"{file}.pem"
        (self.dir / f"{file}.db").touch()
        settings.write_text(
            f"[ca]\ndefault_ca = it\n[it]\ndatabase = {self.dir}/{file}.db\nnew_certs_dir = {self.dir}\nrand_serial = yes\ndefault_md = sha256\n"
            "policy = any\nunique_subject = no\nx509_extensions = ext\n[any]\ncommonName = optional\n[ext]\nbasicConstraints = CA:FALSE\n" +
            (f"subjectAltName = {san}\n" if san else "") + (f"extendedKeyUsage = {usage}\n" if usage else ""))
        _openssl("req", "-new", "-utf8", "-key", str(self.dir / f"{file}.key"), "-subj", subject, "-out", str(request))
        _openssl("ca", "-config", str(settings), "-in", str(request), "-out", str(made), "-cert", str(self.dir / f"{self.name}-middle.pem"), "-keyfile",
                 str(self.dir / f"{self.name}-middle.key"), "-startdate", instant(starts), "-enddate", instant(ends), "-batch", "-notext", "-preserveDN",
                 "-utf8")
        chain = self.dir / f"{file}-chain.pem"
        chain.write_text(made.read_text() + ((self.dir / f"{self.name}-middle.pem").read_text() if chained else ""))
        return chain, self.dir / f"{file}.key"
