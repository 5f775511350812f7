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
    def lead_in(self) -> int:
        """Frames before a segment that it must be fed, as far as the shot has them; a multiple of K."""
        return self._whole_keys(self.reach * self.interval + self.partner_offset)

    @property
    def look_ahead(self) -> int:
        """Frames after a segment that it must be fed, as far as the shot has them; a multiple of K."""
        return self._whole_keys(self.reach * self.interval + self.partner_offset + 1)

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

    def horizon(self, index: int) -> int:
        """Name the last frame that must have been seen before this one's depth is certain."""
        keys = [self.key(number) for number in self.window(self.around(index)[1])]
        return max(max(key, self.partner(key)) for key in keys)

    def memory(self, index: int) -> int:
        """Name the oldest frame that this one or any later one still needs."""
        numbers = self.window(self.around(index)[0])
        first = self.key(numbers.start)
        return max(0, first - self.partner_offset)

    def _whole_keys(self, frames: int) -> int:
        return -(-frames // self.interval) * self.interval
