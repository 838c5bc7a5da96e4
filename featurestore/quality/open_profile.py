"""Which kind of profile is the default: new ones, and ones read back."""

from __future__ import annotations

from .profile import Profile, Span


def new_profile(*, span: Span | None = None) -> Profile:
    """An empty profile of the default kind (whylogs sketches)."""
    # whylogs takes seconds to import: only the process that profiles pays for it.
    from .whylogs_profile import WhylogsProfile

    return WhylogsProfile(span=span)


def load_profile(content: bytes) -> Profile:
    """The profile that `to_bytes` wrote; raises `InputError` for anything else."""
    from .whylogs_profile import WhylogsProfile

    return WhylogsProfile.from_bytes(content)
