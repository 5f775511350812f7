"""Which frames of a shot are keys, and how much around a segment its worker must see."""

from dataclasses import dataclass

MAX_REACH = 2
"""Most keys on each side that a key may be blended with."""


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """The keys of one shot; everything follows from its length, never from where a segment begins.

    Keys lie at 0, K, 2K, ... and on the last frame, so that no frame has to be guessed from one side only.

    Attributes:
        shot_length: Frames in the shot.
        interval: K.
        reach: Keys on each side that a key is blended with.
        partners: Whether a key is looked at together with another frame of its shot.
    """

    shot_length: int
    interval: int
    reach: int = MAX_REACH
    partners: bool = True

    def __post_init__(self) -> None:
        if self.shot_length < 1 or self.interval < 1 or not 0 <= self.reach <= MAX_REACH:
            raise ValueError(f"no such key plan: {self}")

    @property
    def partner_offset(self) -> int:
        """Frames from a key to its partner: far enough to see parallax, near enough for flow to follow."""
        return max(3, min(self.interval, 6)) if self.partners else 0

    @property
    def key_count(self) -> int:
        """How many keys the shot has."""
        return -(-(self.shot_length - 1) // self.interval) + 1

    def key(self, number: int) -> int:
        """Name the frame of the key of that number."""
        return min(number * self.interval, self.shot_length - 1)

    def key_frames(self) -> list[int]:
        """List the frames of all keys, ascending."""
        return [self.key(number) for number in range(self.key_count)]

    def around(self, index: int) -> tuple[int, int]:
        """Number the keys at or before and at or after a frame; the same number twice if the frame is a key."""
        if index == self.shot_length - 1:
            return self.key_count - 1, self.key_count - 1
        return index // self.interval, -(-index // self.interval)

    def apart(self, index: int, frames: int) -> list[int]:
        """Name the nearest key on each side of a frame that is at least so many frames away, where the shot has one."""
        before, after = index - frames, index + frames
        return [
            *([before // self.interval * self.interval] if before >= 0 else []),
            *([self.key(-(-after // self.interval))] if after < self.shot_length else []),
        ]

    def window(self, number: int) -> range:
        """Number the keys that a key is blended with, itself among them."""
        return range(max(0, number - self.reach), min(self.key_count, number + self.reach + 1))

    def partner(self, key: int) -> int:
        """Name the frame whose picture goes with a key: later, else earlier, else the far end of a tiny shot."""
        if not self.partners:
            return key
        if key + self.partner_offset < self.shot_length:
            return key + self.partner_offset
        if key >= self.partner_offset:
            return key - self.partner_offset
        return self.shot_length - 1 if 2 * key < self.shot_length - 1 else 0

    def needed(self, start: int, stop: int) -> range:
        """Frames that must be seen so that the depth of frames [start, stop) is certain."""
        numbers = range(self.window(self.around(start)[0]).start, self.window(self.around(stop - 1)[1]).stop)
        looked_at = [frame for n in numbers for frame in (self.key(n), self.partner(self.key(n)))]
        return range(min(looked_at), max(looked_at) + 1)

    def horizon(self, index: int) -> int:
        """Name the last frame that must have been seen before this one's depth is certain."""
        return self.needed(index, index + 1).stop - 1

    def memory(self, index: int) -> int:
        """Name the oldest frame that this one or any later one still needs."""
        numbers = self.window(self.around(index)[0])
        first = self.key(numbers.start)
        return max(0, first - self.partner_offset)
