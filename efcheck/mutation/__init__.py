"""Auditing the auditor: errors planted one at a time, and whether a verdict notices. `efcheck.mutation.run.mutate` does it."""
