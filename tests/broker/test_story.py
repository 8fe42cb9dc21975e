"""What the broker would log of its end: bounded by what it names."""

from broker import events as ev
from broker.story import MOST_NAMED, Story, weight
from luafarm.names import Epoch, HostId, Script
from luafarm.wire.messages import Dependency, NeedKind


def told(files: int) -> ev.Event:
    one = Dependency(NeedKind.FILE, b"x", b"", b"")
    return ev.StateLoaded(
        HostId("h"), Script(b"/r/a.lua"), Epoch(1), 0.1, 1, (one,) * files
    )


def test_a_story_is_bounded_by_what_its_events_name() -> None:
    story = Story()
    for i in range(300):
        story.begin((float(i), told(1000), []))
    chapters = list(story)
    assert chapters[-1][0] == 299.0
    assert sum(map(weight, chapters[:-1])) <= MOST_NAMED
    assert len(chapters) == 1 + MOST_NAMED // 1000


def test_a_story_is_bounded_in_number_and_has_the_newest_however_large() -> None:
    story = Story()
    for i in range(1000):
        story.begin((float(i), ev.Ticked(), []))
    assert [when for when, _, _ in story] == [float(i) for i in range(744, 1000)]
    story.begin((1000.0, told(MOST_NAMED + 1), []))
    assert list(story)[-1][0] == 1000.0
    story.begin((1001.0, ev.Ticked(), []))
    assert [when for when, _, _ in story] == [1001.0]
