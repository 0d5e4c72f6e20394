"""The `dataops` command. Heavy imports happen inside the commands: `--help` answers at once.

Exit codes: 0 done, 1 the data or a gate said no, 2 the command or a project's YAML can't be used.
"""
