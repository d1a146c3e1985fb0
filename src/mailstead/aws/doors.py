"""Doors: the APIs behind one listener; how each writes errors, and which service a signature must name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Door:
    """One API behind the listener."""

    name: str
    signing: str
    """The service that a signature's scope must name."""
    form: str
    """``query``, ``rest`` or ``json``: how its errors look."""
    xmlns: str = ""


SES = Door("ses", "ses", "query", "http://ses.amazonaws.com/doc/2010-12-01/")
SESV2 = Door("sesv2", "ses", "rest")
STS = Door("sts", "sts", "query", "https://sts.amazonaws.com/doc/2011-06-15/")
SNS = Door("sns", "sns", "query", "http://sns.amazonaws.com/doc/2010-03-31/")
KMS = Door("kms", "kms", "json")

BY_SCOPE = {"sns": SNS, "sts": STS, "kms": KMS}
BY_VERSION = {"2010-03-31": SNS, "2011-06-15": STS}
