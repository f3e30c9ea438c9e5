"""TLS between the socket and RESP. Only rediss:// imports ssl (16 ms)."""

import os
import ssl

from cronlock.errors import TlsError

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.config.redis_url import Address

RECORD_MAX = 16_384  # bytes: the longest TLS record
CONTEXTS: dict[object, ssl.SSLContext] = {}  # by parameters and the state of files: reading the CAs takes 10 ms
CERTIFICATE_REQUIRED = "the server requires a client certificate"
GIVE_CERTIFICATE = "add ssl_certfile and ssl_keyfile to its URL"
FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
FILE_MAX = 16_777_216  # bytes: all CAs that Debian trusts are a quarter of a megabyte; OpenSSL reads a file to its end
OTHER_HOST = (62, 64)  # X509_V_ERR of OpenSSL: the certificate has another name, another address
UNKNOWN_ISSUER = (18, 19, 20, 21)  # X509_V_ERR of OpenSSL: the certificate's issuer is unknown


class TlsStream:
    """The TLS state of one connection. `host` is the name that the server's certificate has to have."""

    def __init__(self, address: "Address", host: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._encrypted = bytearray()
        self.established = False  # the handshake is complete
        context = context_of(address.tls or {})
        try:
            self._object = context.wrap_bio(self._in, self._out, server_hostname=host.partition("%")[0])
        except ValueError:
            raise TlsError("no certificate can contain this host name", "correct its URL") from None

    def encrypt(self, plain: bytearray) -> bytearray:
        """Return the bytes to send now, and take over `plain` once the handshake is complete. Raises TlsError."""
        self._advance_handshake()
        if self.established and plain:
            try:
                self._object.write(plain)
            except ssl.SSLError as error:
                raise tls_error(error) from None
            plain.clear()
        self._encrypted += self._out.read()
        return self._encrypted

    def decrypt(self, data: bytes) -> bytes:
        """Return the plain text of all complete records received so far. Raises TlsError."""
        self._in.write(data)
        self._advance_handshake()
        plain = b""
        try:
            while self.established and (part := self._object.read(RECORD_MAX)):
                plain += part
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError as error:
            raise tls_error(error) from None
        return plain

    def _advance_handshake(self) -> None:
        if self.established:
            return
        try:
            self._object.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise tls_error(error) from None


def tls_error(error: ssl.SSLError) -> TlsError:
    """Return the error of OpenSSL as a TlsError with advice."""
    if isinstance(error, ssl.SSLCertVerificationError):
        todo = "name the file of its CA in ssl_ca_certs" if error.verify_code in UNKNOWN_ISSUER else ""
        if error.verify_code in OTHER_HOST:
            todo = "use the host name of its certificate, or add ssl_check_hostname=false"
        return TlsError(f"certificate not accepted: {error.verify_message.rstrip('.')}", todo)
    word = error.reason or "broken"
    if "WRONG_VERSION_NUMBER" in word or "RECORD_LAYER_FAILURE" in word:
        return TlsError("the server does not use TLS", "write redis://")
    if "CERTIFICATE_REQUIRED" in word:
        return TlsError(CERTIFICATE_REQUIRED, GIVE_CERTIFICATE)
    return TlsError(f"TLS failed: {word.replace('_', ' ').lower()}")


def context_of(options: "dict[str, str]") -> ssl.SSLContext:
    """Return the context for the ssl_ parameters of a URL; raises TlsError with the name of a wrong parameter."""
    files = [options[name] for name in FILES if name in options] or [ssl.get_default_verify_paths().cafile or ""]
    key = (*sorted(options.items()), *map(_file_state, files))
    if key not in CONTEXTS:
        CONTEXTS.clear()  # the others belong to files that were replaced
        CONTEXTS[key] = _new_context(options)
    return CONTEXTS[key]


def _new_context(options: "dict[str, str]") -> ssl.SSLContext:
    for name in FILES:
        if name in options:
            _check_readable(name, options[name])
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    except (OSError, ValueError):  # SSLError is an OSError
        raise TlsError(f"ssl_ca_certs: {options.get('ssl_ca_certs', '')} does not contain any certificates") from None
    context.check_hostname = options.get("ssl_check_hostname") != "false" and options.get("ssl_cert_reqs") != "none"
    if options.get("ssl_cert_reqs") == "none":
        context.verify_mode = ssl.CERT_NONE
    if "ssl_certfile" in options:
        try:  # always with a password, or OpenSSL would ask for one at the terminal
            context.load_cert_chain(
                options["ssl_certfile"], options.get("ssl_keyfile"), lambda: options.get("ssl_password", "")
            )
        except (OSError, ValueError) as error:
            reason = (getattr(error, "reason", "") or "a certificate or key is missing").replace("_", " ").lower()
            raise TlsError(f"ssl_certfile, ssl_keyfile and ssl_password do not match: {reason}") from None
    return context


def _file_state(path: str) -> object:
    """Return a value that changes with the file, or with the file that a link points to."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_mtime_ns


def _require_file(name: str, path: str) -> None:
    """Raise TlsError or OSError for a path that OpenSSL could hang on: it reads any path to the end."""
    if not os.path.isfile(path) and os.path.exists(path):
        raise TlsError(f"{name}: {path} is not a file")  # a pipe can be read only once
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size > FILE_MAX:
            raise TlsError(f"{name}: {path} is larger than {FILE_MAX} bytes")
    finally:
        os.close(fd)


def _check_readable(name: str, path: str) -> None:
    try:
        if name != "ssl_ca_path":
            _require_file(name, path)
            return
        for entry in os.scandir(path):
            if entry.name[8:9] == "." and os.path.exists(entry.path) and not os.path.isfile(entry.path):
                raise TlsError(f"{name}: {entry.path} is not a file")  # a HASH.N that OpenSSL would open
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise TlsError(f"{name}: can't read {path}: {reason}") from None
