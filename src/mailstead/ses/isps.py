"""Providers of mailboxes: whose a recipient's domain is, as dashboards name them. (names unverified)

Known by the domain alone: a company whose mail is at one of them counts as itself.
"""

from __future__ import annotations

from mailstead.base.address import domain_of

OTHER = "Other"

_NAMED = {
    "Gmail": "gmail.com googlemail.com",
    "Yahoo": "yahoo.com ymail.com rocketmail.com myyahoo.com",
    "AOL": "aol.com aim.com",
    "Hotmail": "hotmail.com outlook.com live.com msn.com passport.com",
    "iCloud": "icloud.com me.com mac.com",
    "GMX": "gmx.com gmx.net gmx.de gmx.at gmx.ch",
    "WEB.DE": "web.de",
    "Mail.ru": "mail.ru inbox.ru list.ru bk.ru",
    "Yandex": "yandex.ru yandex.com ya.ru",
    "Comcast": "comcast.net",
    "Orange": "orange.fr wanadoo.fr",
    "QQ": "qq.com foxmail.com",
    "NetEase": "163.com 126.com yeah.net",
}
_BY_DOMAIN = {domain: name for name, domains in _NAMED.items() for domain in domains.split()}
_BY_LABEL = {"yahoo": "Yahoo", "hotmail": "Hotmail", "outlook": "Hotmail", "live": "Hotmail"}
"""Those with a domain in each country: ``yahoo.co.uk``, ``hotmail.fr``."""
_COUNTRY = 2  # letters of a country's top-level domain (RFC 1591 §2)


def isp_of(address: str) -> str:
    """Whose mailbox this is; ``Other``: none of those that are counted by name."""
    domain = domain_of(address)
    if domain in _BY_DOMAIN:
        return _BY_DOMAIN[domain]
    first, _, rest = domain.partition(".")
    country = rest.removeprefix("co.").removeprefix("com.")
    return _BY_LABEL.get(first, OTHER) if len(country) == _COUNTRY else OTHER
