"""Choose the papers of a day's issue and their order. Pure: no module here opens a file or a socket.

rules.py         the settings under `issue` in the configuration
calendar.py      which day an issue has, and why a day may be without papers
folding.py       texts without case and accents, and words in them
organisations.py whether a paper is from an organisation
filters.py       which papers are kept and which are pinned
compose.py       from feeds to an issue
selector.py      what a reader chose, as a value with a canonical form and a hash
terms.py         words, stems and phrases of a text
matching.py      how well papers fit a topic
picking.py       the papers of a reader's edition, and why each is there
weekly.py        when a reader who wants one issue a week gets it
late_risers.py   papers of past days that are above the cut now
"""
