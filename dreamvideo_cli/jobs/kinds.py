"""Words with a few values each that jobs and commands have in common."""

from __future__ import annotations

from typing import Literal

AdapterKind = Literal["subject", "motion"]
RunKind = Literal["subject", "motion", "base"]
"""What a run makes: an adapter, or a base that is tuned."""
Device = Literal["cuda", "mps", "cpu"]
Dtype = Literal["fp32", "bf16", "fp16", "fp8"]
"""Precision of the frozen base. With fp8 its denoiser's matrices are stored in 8 bits, and all is computed in bf16."""
Where = Literal["here", "ray"]
"""Where units of work are done: in this process, or on a Ray cluster."""
