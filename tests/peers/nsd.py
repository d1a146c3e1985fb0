"""DNS: a real nsd that answers for every name there is, from records that a test hands in.

It serves the root zone: what was not given is NXDOMAIN, CNAMEs are followed, and no question leaves the machine.
"""

from __future__ import annotations

import subprocess

import dns.exception
import dns.message
import dns.query

from peers.ground import free_port, program, stop, tail, tied, wait_for, workdir

_CONF = """
server:
  server-count: 1
  ip-address: {host}@{port}
  username: ""
  chroot: ""
  zonesdir: "{dir}"
  pidfile: "{dir}/nsd.pid"
  database: ""
  zonelistfile: "{dir}/zone.list"
  xfrdfile: "{dir}/xfrd.state"
  xfrdir: "{dir}"
  cookie-secret-file: "{dir}/cookies"
  logfile: "{dir}/nsd.log"
  round-robin: no
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: yes
  control-interface: {dir}/control
zone:
  name: "."
  zonefile: "root.zone"
"""
_HEAD = "$ORIGIN .\n$TTL {ttl}\n@ SOA ns.invalid. root.invalid. {serial} 60 60 86400 {ttl}\n@ NS ns.invalid.\n"


class Nsd:
    """``with Nsd({"example.org": "@ MX 10 mx\\nmx A 127.0.0.2"}) as dns: … dns.address``."""

    def __init__(self, zones: dict[str, str] | None = None, *, host: str = "127.0.0.1", ttl: int = 1) -> None:
        self.host = host
        self.port = free_port(host)
        self.zones = dict(zones or {})
        self._ttl = ttl
        self._serial = 1

    @property
    def address(self) -> str:
        """``host:port``, as the setting ``dns.resolver`` takes it."""
        return f"{self.host}:{self.port}"

    def __enter__(self) -> Nsd:
        nsd, self._control = program("nsd"), program("nsd-control")
        self._folder = workdir("nsd")
        self.path = self._folder.__enter__()
        self._conf = self.path / "nsd.conf"
        self._conf.write_text(_CONF.format(host=self.host, port=self.port, dir=self.path))
        self._write()
        with (self.path / "nsd.log").open("ab") as log:
            self._process = subprocess.Popen(tied(nsd, "-d", "-c", self._conf), stdout=log, stderr=log)
        self._wait()
        return self

    def __exit__(self, *raised: object) -> None:
        stop(self._process)
        self._folder.__exit__(None, None, None)

    def set(self, origin: str, records: str) -> None:
        """Put or replace the records of a domain (zone-file lines relative to it) and wait until they are served."""
        self.zones[origin.rstrip(".")] = records
        self._reload()

    def add(self, records: str) -> None:
        """Add zone-file lines with absolute names, such as ``mailstead dns records`` prints."""
        self.zones[""] = self.zones.get("", "") + "\n" + records
        self._reload()

    def remove(self, origin: str) -> None:
        """Forget a domain: its names become NXDOMAIN."""
        del self.zones[origin.rstrip(".")]
        self._reload()

    def clear(self) -> None:
        """Forget everything."""
        if self.zones:
            self.zones.clear()
            self._reload()

    def _write(self) -> None:
        text = _HEAD.format(ttl=self._ttl, serial=self._serial)
        for origin, records in self.zones.items():
            text += f"$ORIGIN {origin}.\n{records}\n"
        (self.path / "root.zone").write_text(text)

    def _reload(self) -> None:
        self._serial += 1
        self._write()
        subprocess.run(
            [self._control, "-c", str(self._conf), "reload", "."], check=True, capture_output=True, timeout=10
        )
        self._wait()

    def _wait(self) -> None:
        try:
            wait_for(self._serves, f"nsd to serve serial {self._serial}", timeout=10)
        except TimeoutError:
            raise AssertionError(f"nsd does not serve the zone:\n{tail(self.path / 'nsd.log')}") from None

    def _serves(self) -> bool:
        # While it reloads, the child with the old zone still takes a question now and then.
        return all(self._answers() for _ in range(5))

    def _answers(self) -> bool:
        question = dns.message.make_query(".", "SOA")
        try:
            answer = dns.query.udp(question, self.host, timeout=0.5, port=self.port)
        except (OSError, dns.exception.DNSException):
            return False
        return bool(answer.answer) and f" {self._serial} " in answer.answer[0].to_text()
