"""The flow, one function an artifact: released inputs from the store, through a stage, to a candidate manifest.

Here is what an artifact is made from and what is entered into a ledger on the way. How it is made lies in `stages/`; when, in
`runs.py` and `sensors.py`; what Dagster shows, in `assets.py`. No Dagster here.
"""
