"""The signer: a process that holds the private keys in use and does nothing but sign (decision 10).

On its socket come orders: a head of the data's length, the key's number and the order's number, then the data.  The
order number 0 hands over a key (PKCS #8, DER) instead.  Answers are the order's number, the signature's length and the
signature.  The program ends with the other end of the socket.
"""

from __future__ import annotations

import signal
import socket
import sys
from struct import Struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from mailstead.proto import dkim

ORDER = Struct("!IHI")
ANSWER = Struct("!IH")
KEY = 0
"""The order number of a key."""
_PIECE = 1 << 18  # octets read at once
_TOGETHER = 4  # signatures sent back at once: who waits for the first does not wait for all


def serve(link: socket.socket) -> None:
    """Sign what is ordered until the other end is gone."""
    keys: dict[int, dkim.PrivateKey] = {}
    held = bytearray()
    while piece := link.recv(_PIECE):
        held += piece
        made: list[bytes] = []
        for key, order, data in _orders(held):
            if order == KEY:
                keys[key] = _opened(data)
                continue
            signed = dkim.signature(keys[key], data)
            made.append(ANSWER.pack(order, len(signed)) + signed)
            if len(made) == _TOGETHER:
                link.sendall(b"".join(made))
                made.clear()
        if made:
            link.sendall(b"".join(made))


def _orders(held: bytearray) -> list[tuple[int, int, bytes]]:
    """The whole orders, which are taken out."""
    found: list[tuple[int, int, bytes]] = []
    at = 0
    while len(held) - at >= ORDER.size:
        length, key, order = ORDER.unpack_from(held, at)
        end = at + ORDER.size + length
        if len(held) < end:
            break
        found.append((key, order, bytes(held[at + ORDER.size : end])))
        at = end
    del held[:at]
    return found


def _opened(data: bytes) -> dkim.PrivateKey:
    key = load_der_private_key(data, None)
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise TypeError(type(key))
    return key


def main() -> None:
    """``python -m mailstead.outbound.signer FD``, as ``signing_process.py`` starts it."""
    # Signals go to the whole group; what was accepted may still be signed while the server drains.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as link:
        try:
            serve(link)
        except ConnectionError:
            return  # the server is gone


if __name__ == "__main__":
    main()
