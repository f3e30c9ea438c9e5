"""TLS between a socket and RESP. Only rediss:// pays for importing ssl (16 ms)."""

import os
import ssl

from cronlock.servers.connection import TlsError

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.servers.url import Address

CHUNK = 16_384  # bytes: a TLS record
CONTEXTS: dict[object, ssl.SSLContext] = {}  # by parameters and the state of files: reading the CAs takes 10 ms
GIVE_CERTIFICATE = "give ssl_certfile and ssl_keyfile"
FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
FILE_MAX = 16_777_216  # bytes: all CAs that Debian trusts are a quarter of a megabyte; OpenSSL reads a file to its end
OTHER_HOST = (62, 64)  # X509_V_ERR of OpenSSL: the certificate has another name, another address
UNKNOWN_ISSUER = (18, 19, 20, 21)  # X509_V_ERR of OpenSSL: who signed it is not known


class Session:
    """One connection's. `host` is whom the certificate has to name."""

    def __init__(self, address: "Address", host: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._sealed = bytearray()
        self.shaken = False  # whether the handshake is done
        context = context_of(address.tls or {})
        try:
            self._object = context.wrap_bio(self._in, self._out, server_hostname=host.partition("%")[0])
        except ValueError:
            raise TlsError("no certificate can have that host name") from None

    def seal(self, plain: bytearray) -> bytearray:
        """What is to be sent now; `plain` is taken over as soon as the handshake is done. Raises Unsafe."""
        self._shake()
        if self.shaken and plain:
            try:
                self._object.write(plain)
            except ssl.SSLError as error:
                raise reason(error) from None
            plain.clear()
        self._sealed += self._out.read()
        return self._sealed

    def open(self, data: bytes) -> bytes:
        """The plain text of what was received, as far as it is whole. Raises Unsafe."""
        self._in.write(data)
        self._shake()
        plain = b""
        try:
            while self.shaken and (part := self._object.read(CHUNK)):
                plain += part
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError as error:
            raise reason(error) from None
        return plain

    def _shake(self) -> None:
        if self.shaken:
            return
        try:
            self._object.do_handshake()
            self.shaken = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise reason(error) from None


def reason(error: ssl.SSLError) -> TlsError:
    """What went wrong, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        todo = "name the file of its CA as ssl_ca_certs" if error.verify_code in UNKNOWN_ISSUER else ""
        if error.verify_code in OTHER_HOST:
            todo = "name the host as its certificate does, or give ssl_check_hostname=false"
        return TlsError(f"its certificate is not accepted: {error.verify_message.rstrip('.')}", todo)
    word = error.reason or "broken"
    if "WRONG_VERSION_NUMBER" in word or "RECORD_LAYER_FAILURE" in word:
        return TlsError("it does not speak TLS", "write redis://")
    if "CERTIFICATE_REQUIRED" in word:
        return TlsError("it wants a certificate of this node", GIVE_CERTIFICATE)
    return TlsError(f"TLS failed: {word.replace('_', ' ').lower()}")


def context_of(options: "dict[str, str]") -> ssl.SSLContext:
    """What the parameters of a URL come to; raises Unsafe, naming the one that is wrong."""
    files = [options[name] for name in FILES if name in options] or [ssl.get_default_verify_paths().cafile or ""]
    key = (*sorted(options.items()), *map(_state, files))
    if key not in CONTEXTS:
        CONTEXTS.clear()  # those of files that were replaced
        CONTEXTS[key] = _new_context(options)
    return CONTEXTS[key]


def _new_context(options: "dict[str, str]") -> ssl.SSLContext:
    for name in FILES:
        if name in options:
            _try_to_read(name, options[name])
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    except (OSError, ValueError):  # SSLError is an OSError
        raise TlsError(f"ssl_ca_certs: {options.get('ssl_ca_certs', '')} holds no certificates") from None
    context.check_hostname = options.get("ssl_check_hostname") != "false" and options.get("ssl_cert_reqs") != "none"
    if options.get("ssl_cert_reqs") == "none":
        context.verify_mode = ssl.CERT_NONE
    if "ssl_certfile" in options:
        try:  # a password in any case, or OpenSSL asks at the terminal
            context.load_cert_chain(
                options["ssl_certfile"], options.get("ssl_keyfile"), lambda: options.get("ssl_password", "")
            )
        except (OSError, ValueError) as error:
            reason = (getattr(error, "reason", "") or "no certificate with its key").replace("_", " ").lower()
            raise TlsError(f"ssl_certfile, ssl_keyfile, ssl_password: they do not go together: {reason}") from None
    return context


def _state(path: str) -> object:
    """Changes when a file does, or what a link leads to."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_mtime_ns


def _require_file(name: str, path: str) -> None:
    """Raises Unsafe, and OSError, for what OpenSSL could hang on: it opens any path, and reads to the end."""
    if not os.path.isfile(path) and os.path.exists(path):
        raise TlsError(f"{name}: {path} is no file")  # a pipe could be read once only
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size > FILE_MAX:
            raise TlsError(f"{name}: {path} is longer than {FILE_MAX} bytes")
    finally:
        os.close(fd)


def _try_to_read(name: str, path: str) -> None:
    try:
        if name != "ssl_ca_path":
            _require_file(name, path)
            return
        for entry in os.scandir(path):
            if entry.name[8:9] == "." and os.path.exists(entry.path) and not os.path.isfile(entry.path):
                raise TlsError(f"{name}: {entry.path} is no file")  # a HASH.N that OpenSSL would open
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise TlsError(f"{name}: can't read {path}: {reason}") from None
