"""The encodings that browsers mean by the labels of documents. No I/O.

The source is the table of names and labels in the WHATWG's Encoding Standard (https://encoding.spec.whatwg.org, section
4.2). The table is kept here, because the package webencodings resolves labels and then uses the narrower codecs that
Python has under the same names: its `shift_jis` refuses the characters that Windows adds, which pages use.
"""

from __future__ import annotations

from typing import Final

# Python's codecs for each encoding of the standard that differs from Python's codec of that name, and its labels. The
# first codec that fits the whole text is used. Labels that mean the same to Python are not listed.
_FAMILIES: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (
        ("gb18030",),  # section 10.1.1: the decoder of GBK is that of gb18030
        "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030 cp936 euc-cn",
    ),
    (("big5hkscs", "cp950"), "big5 big5-hkscs cn-big5 csbig5 x-x-big5 cp950"),
    (
        ("cp949",),
        "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949",
    ),
    (("cp932",), "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis"),
    (("euc_jp", "euc_jis_2004"), "cseucpkdfmtjapanese euc-jp x-euc-jp"),
    (("iso2022_jp", "iso2022_jp_ext"), "csiso2022jp iso-2022-jp"),
    (
        ("cp1252",),
        (
            "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1"
            " iso_8859-1:1987 l1 latin1 latin-1 us-ascii windows-1252 x-cp1252"
        ),
    ),
    (
        ("cp1254",),
        (
            "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5"
            " windows-1254 x-cp1254"
        ),
    ),
    (("cp874",), "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874"),
    (("cp1250",), "cp1250 windows-1250 x-cp1250"),
    (("cp1251",), "cp1251 windows-1251 x-cp1251"),
    (("cp1253",), "cp1253 windows-1253 x-cp1253"),
    (("cp1255",), "cp1255 windows-1255 x-cp1255"),
    (("cp1256",), "cp1256 windows-1256 x-cp1256"),
    (("cp1257",), "cp1257 windows-1257 x-cp1257"),
    (("cp1258",), "cp1258 windows-1258 x-cp1258"),
    (("iso8859_8",), "csiso88598i csiso88598e iso-8859-8-i iso-8859-8-e logical visual hebrew"),
    (("koi8_r",), "cskoi8r koi koi8 koi8-r koi8_r"),
    (("koi8_u",), "koi8-u koi8-ru"),
    (("mac_roman",), "csmacintosh mac macintosh x-mac-roman"),
    (("mac_cyrillic",), "x-mac-cyrillic x-mac-ukrainian"),
    (("cp866",), "866 cp866 csibm866 ibm866"),
)
_CODECS: Final = {label: codecs for codecs, labels in _FAMILIES for label in labels.split()}

# Codecs with bytes that stand for no character, where the standard puts C1 controls: nothing is to be seen of them.
SINGLE_BYTE: Final = frozenset("cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874 iso8859_8".split())
ESCAPED: Final = frozenset({"iso2022_jp"})  # text in this encoding is ASCII with escape sequences, so valid UTF-8


def codecs_of(label: str) -> tuple[str, ...]:
    """The Python codecs to try for a document's `label`, in order. A label that is not in the table is its own codec.

    The label may be of any case and have spaces around it.
    """
    folded = label.strip().lower()
    return _CODECS.get(folded, (folded,))
