"""Choose the papers of a day's issue and their order. Pure: no module here opens a file or a socket.

rules.py         the settings under `issue` in the configuration
calendar.py      which day an issue has, and why a day may be without papers
filters.py       which papers are kept and which are pinned
compose.py       from feeds to an issue
late_risers.py   papers of past days that are above the cut now
"""
