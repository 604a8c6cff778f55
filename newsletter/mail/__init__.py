"""Make the mail: an issue becomes HTML and text, and these become one message per subscriber.

render.py    renders templates, inlines CSS and fits the HTML to Gmail's size limit
cards.py     what templates get: cards, rows, links, cut to what a mail shows
subject.py   subject and preheader: whole names of papers
latex.py     turns LaTeX in titles and abstracts into Unicode text
excerpt.py   chooses what a card shows of a text: whole sentences, from the contribution on
stripped.py  mends LaTeX that has lost its dollar signs and backslashes
scripts.py   superscripts, subscripts and Greek letters
lint.py      checks a rendered issue before it is sent
message.py   headers and encoding of a copy
letter.py    mails that are not copies of an issue: confirmations and alerts
dkim.py      DKIM signatures
signers.py   the DKIM keys of the configuration
"""
