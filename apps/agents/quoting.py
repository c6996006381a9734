"""Strategy `quote`: the answer is the sources' own sentences, so nothing in it can be invented."""

from apps.agents.types import Fail, Finish, LoopDecision, LoopState, Retrieve

_QUOTES = 3


def decide(state: LoopState) -> LoopDecision:
    spaces = tuple(grant.space for grant in state.definition.spaces)
    if not spaces:
        return Fail(
            code="no_sources",
            detail="The agent answers in the words of its sources, but its definition lists no "
            "spaces. Add one under `spaces`, or choose another strategy.",
        )
    if state.sources is None:
        return Retrieve(step="retrieve", query=state.input, limit=_QUOTES, quote=True)
    if not state.sources:
        return Finish(text=_no_answer(spaces))
    return Finish(
        text="\n\n".join(source.text for source in state.sources),
        citations=tuple(source.citation for source in state.sources),
    )


def _no_answer(spaces: tuple[str, ...]) -> str:
    searched = ", ".join(spaces)
    return (
        f"The sources do not answer this. Searched: {searched}. Ask in other words, or add files "
        f"that answer it with `python manage.py context add {spaces[0]} <files or folders…>`."
    )
