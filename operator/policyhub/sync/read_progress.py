"""Which desired findings have to be read from Security Hub before they are sent.

| the finding                                              | is read by                                              |
|----------------------------------------------------------|---------------------------------------------------------|
| was reported when its source was first listed (backlog)  | the inventory, part by part                             |
| is new, or was archived by us                            | a lookup by id at once: the inventory may be too late   |
| is backlog, and another process sent findings recently   | a second read of the backlog, after the inventory       |
| differs, and another process sent findings recently      | the second read, too (`second_read`)                    |
| any, while the inventory cannot be read (`unavailable`)  | nothing: it is sent unread                              |
| was archived, and its lookup gets no answer for long     | nothing: it is sent unread, with a new `CreatedAt`      |
|   (`send_unread`)                                        |                                                         |

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable

from policyhub.clock import SteadyMs
from policyhub.sync.acknowledged import RECENT_MS
from policyhub.sync.archive import Archive
from policyhub.sync.entry import Entry
from policyhub.sync.lookup_queue import LookupQueue
from policyhub.sync.quarantine import Quarantine
from policyhub.sync.second_read import SecondRead

PART_DIGITS = 4
"""Maximum number of hex digits of an inventory part."""


class ReadProgress:
    """What has been read of one monitored cluster, and what has not."""

    def __init__(
        self,
        *,
        entries: dict[str, Entry],
        archive: Archive,
        quarantine: Quarantine,
        lookups: LookupQueue,
        second_read: SecondRead,
        enqueue: Callable[[Entry], None],
    ) -> None:
        self.unread: set[str] = set()
        """Desired ids that have not been read yet: they are not sent before."""
        self.parts: set[str] = set()
        """Id prefixes (hex digits) that the inventory has read to the end."""
        self.complete = False
        """Whether an inventory has been read to the end."""
        self.unavailable = False
        """Whether the inventory is skipped for now: desired findings are sent unread."""
        self.recheck_backlog = False
        """Whether another process sent findings recently: backlog that the inventory lacks is read a second time."""
        self.second_read = second_read
        self._read_by_id: set[str] = set()
        """Ids that were read by id before the inventory read them."""
        self._entries = entries
        self._archive = archive
        self._quarantine = quarantine
        self._lookups = lookups
        self._enqueue = enqueue

    def must_be_read(self, entry: Entry) -> bool:
        """Whether the finding has to be read before it is sent."""
        return entry.observed is None and (not self._is_read(entry.id) or (self.recheck_backlog and entry.backlog))

    def _is_read(self, id_: str) -> bool:
        if self.unavailable or id_ in self._read_by_id or id_ in self._quarantine.ids:
            return True
        if id_ in self._archive:
            return False
        digits = id_.rpartition("/")[2]
        return any(digits[:n] in self.parts for n in range(PART_DIGITS + 1))

    def await_read(self, entry: Entry) -> None:
        """The finding is not sent before it has been read; if the inventory may be too late, it is read by id."""
        self.unread.add(entry.id)
        if not entry.backlog or entry.id in self._archive:
            self._lookups.add(entry.id)

    def discard(self, id_: str) -> None:
        """The finding need not be read."""
        self.unread.discard(id_)
        self._lookups.discard(id_)

    def mark_read(self, id_: str) -> None:
        """The state of the finding in Security Hub is known, although the inventory has not read it yet."""
        self._read_by_id.add(id_)

    def count_returning(self) -> int:
        """How many archived findings are reported again and have to be read before they are sent."""
        return sum(id_ in self._archive for id_ in self.unread)

    def send_unread(self, *, now: SteadyMs) -> None:
        """Send reactivated findings that could not be read for long, with a new `CreatedAt`."""
        if not self.complete or not self._archive:
            return
        late = {i for i in self.unread if i in self._archive and now - self._entries[i].first_claimed > RECENT_MS}
        for id_ in late:
            self._lookups.discard(id_)
        if late:
            self._read_by_id |= late
            self._enqueue_read()

    # -- the inventory --------------------------------------------------------------------------------------------

    def take_part(self, digits: str, id_prefix: str, *, began: SteadyMs) -> None:
        """The inventory has read all ids with this prefix, which ends with these digits, since this time: enqueue those
        that waited.
        """
        self.parts.add(digits)
        self.second_read.note_part(digits, began=began)
        reached = [i for i in self.unread if i.startswith(id_prefix) and not self.must_be_read(self._entries[i])]
        self.unread.difference_update(reached)
        if not self.unread:
            self.unread = set()  # a set never shrinks
        for id_ in reached:
            self._lookups.discard(id_)
            self._enqueue(self._entries[id_])

    def finish_inventory(self) -> None:
        """Every part was read."""
        self.complete, self.unavailable = True, False
        self._read_by_id.clear()

    def skip_inventory(self, *, recheck_backlog: bool = False) -> None:
        """The inventory cannot be read: desired findings are sent unread, other stored findings stay unknown.
        `recheck_backlog`: the backlog still waits, because Security Hub may hold it with its first `CreatedAt`.
        Differences of findings that were read wait no longer: no lag is known that is so long.
        """
        self.second_read.end()
        self.unavailable, self.recheck_backlog = True, recheck_backlog
        self._lookups.clear()
        self._enqueue_read()

    def end_backlog_recheck(self) -> None:
        """The second read is complete: what it lacks does not exist."""
        self.recheck_backlog = False
        self.second_read.end()
        self._enqueue_read()

    def _enqueue_read(self) -> None:
        """Enqueue the findings that no longer have to be read."""
        for id_ in [id_ for id_ in self.unread if not self.must_be_read(self._entries[id_])]:
            self.unread.discard(id_)
            self._enqueue(self._entries[id_])
