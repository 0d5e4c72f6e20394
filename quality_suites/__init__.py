"""The gates' rules: one module an artifact, each with `suite(spec)`.

An expectation is added in a few lines: put it into the module's list with `expect(expectation, name, sentence)`, its threshold
into the project's spec, and a frame that breaks it into `tests/quality_suites/`. A module may also have

- `parameters(frame, inputs)`: facts about the inputs, named in the suite as `{"$PARAMETER": "input_rows"}`;
- `derive(frame, inputs)`: a copy of the frame with further columns, for rules across rows or tables (Great Expectations judges
  row by row, and so names the rows that break a rule).

`severity` is `critical` (holds a version back), `warning` or `info`. `nullable=True` lets a column be empty throughout, which
the gate otherwise takes for a failure.
"""
