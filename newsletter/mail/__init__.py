"""How the mail is made: from an issue to HTML and text, and from these to one reader's message.

render.py    templates, inlined once and fitted to the size limit of Gmail
latex.py     LaTeX in titles and abstracts as plain text
excerpt.py   cuts a text at the end of a sentence
lint.py      what must be right before a mail goes out
message.py   headers and encoding of a copy
letter.py    mails that are not copies of an issue: confirmations and alerts
dkim.py, signers.py   signatures, and the keys of the configuration
"""
