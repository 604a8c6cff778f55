"""The issue of a day: which papers it has and in which order. Pure; nothing here opens a file or a socket.

rules.py         what the operator configured
calendar.py      which day an issue belongs to, and why a day may be empty
filters.py       which papers stay and which are pinned
compose.py       papers in, issue out
late_risers.py   papers of past days that have risen above the cut
"""
