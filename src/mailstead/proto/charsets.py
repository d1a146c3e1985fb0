"""Charsets: which codec a charset name of a mail means (RFC 2978), a closed list.

Careful: names come from strangers.  Python's own look-up would import modules by name, remember every name it ever saw,
and knows codecs that are no charsets (``rot13``, ``unicode_escape``); so it is never asked.
"""

from __future__ import annotations

import re

_PLAIN = """us-ascii=ascii ascii=ascii ansi_x3.4-1968=ascii 646=ascii utf-8=utf-8 utf8=utf-8 unicode-1-1-utf-8=utf-8
utf-16=utf-16 utf-16le=utf-16-le utf-16be=utf-16-be utf-32=utf-32 utf-7=utf-7
iso-8859-1=latin-1 iso8859-1=latin-1 latin1=latin-1 iso-8859-2=iso8859-2 iso-8859-3=iso8859-3 iso-8859-4=iso8859-4
iso-8859-5=iso8859-5 iso-8859-6=iso8859-6 iso-8859-7=iso8859-7 iso-8859-8=iso8859-8 iso-8859-8-i=iso8859-8
iso-8859-9=iso8859-9 iso-8859-10=iso8859-10 iso-8859-11=iso8859-11 iso-8859-13=iso8859-13 iso-8859-14=iso8859-14
iso-8859-15=iso8859-15 iso-8859-16=iso8859-16 tis-620=tis-620 windows-874=cp874 koi8-r=koi8-r koi8-u=koi8-u
windows-1250=cp1250 windows-1251=cp1251 windows-1252=cp1252 windows-1253=cp1253 windows-1254=cp1254 windows-1255=cp1255
windows-1256=cp1256 windows-1257=cp1257 windows-1258=cp1258 cp1250=cp1250 cp1251=cp1251 cp1252=cp1252 cp437=cp437
cp850=cp850 cp852=cp852 cp866=cp866 ibm866=cp866 macintosh=mac-roman
euc-kr=euc-kr euckr=euc-kr ks_c_5601-1987=euc-kr ks_c_5601=euc-kr ksc5601=euc-kr ksc_5601=euc-kr korean=euc-kr
windows-949=cp949 cp949=cp949 uhc=cp949 ms949=cp949 johab=johab iso-2022-kr=iso2022-kr
iso-2022-jp=iso2022-jp iso-2022-jp-1=iso2022-jp-1 iso-2022-jp-2=iso2022-jp-2 iso-2022-jp-3=iso2022-jp-3
shift_jis=shift-jis shift-jis=shift-jis sjis=shift-jis x-sjis=shift-jis windows-31j=cp932 cp932=cp932 ms_kanji=cp932
euc-jp=euc-jp eucjp=euc-jp x-euc-jp=euc-jp gb2312=gb2312 gbk=gbk cp936=gbk gb18030=gb18030 hz-gb-2312=hz
big5=big5 big5-hkscs=big5hkscs cp950=cp950"""
_CODECS = dict(pair.split("=") for pair in _PLAIN.split())

# Senders name the standard and write its common superset: read the superset, write the standard.
_WIDER = {
    "euc-kr": "cp949",
    "shift-jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso2022-jp": "iso2022-jp-ext",
}
_HALF = re.compile("[\ud800-\udfff]")


def codec(charset: str) -> str | None:
    """The Python codec that writes this charset, or None if it is not one we know."""
    return _CODECS.get(charset.strip().lower())


def decode(data: bytes, charset: str) -> str:
    """Text of some bytes; never fails.  Unknown charset or broken bytes: ``U+FFFD`` in their place.

    >>> decode(bytes.fromhex("c7d1"), "EUC-KR")
    '한'
    """
    name = codec(charset)
    if name is None:
        return data.decode("utf-8" if _is_utf8(data) else "ascii", "replace")
    try:
        text = data.decode(name)
    except UnicodeError:
        text = data.decode(_WIDER.get(name, name), "replace")
    # Python's UTF-7 lets halves of characters through, and nothing can write those again.
    return _HALF.sub("\ufffd", text) if name == "utf-7" else text


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decode_raw(data: bytes) -> str:
    """Text of bytes that name no charset: UTF-8 (RFC 6532 §3.1), else ``U+FFFD`` for what is not."""
    return data.decode("utf-8", "replace")
