"""Personal data in a picture: pure functions from pixels, or from the delivered bytes, to what was found.

`findings.look_for` is the entry point. One module a kind: `faces`, `text` (is there any, what does it say), `contacts` (what in a text
is personal), `metadata` (of the delivered file) and `plates`; `redact` makes regions unrecognisable. Models come inside installed
packages and load once a process; nothing is ever downloaded. The same picture gives the same findings.
"""
