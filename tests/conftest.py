"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE; settings given on a test win over them."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# Started in the background, a shell lets its children ignore Ctrl-C, and they would hand that on to the commands under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
