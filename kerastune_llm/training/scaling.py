"""How the throughput of one update grows with the replicas that share it, on paper.

Every replica keeps its own rows, so the batch grows with the replicas. An update is
computed, and then gradients are summed over all replicas in a ring; nothing of the sum
is taken to be hidden behind the computing, which is the worst case.
"""

from dataclasses import dataclass

from kerastune_llm.training.memory import FLOAT32

# Sums over all replicas in an update: gradients, laid into one message; label tokens,
# loss, tokens and examples; and whether a worker is to stop.
SUMS = 6
_MOST_REPLICAS = 2**20


@dataclass(frozen=True)
class Link:
    """What joins a replica to the next.

    Args:
        bytes_per_second: In each direction.
        latency: Seconds until a message arrives, however short it is.
    """

    bytes_per_second: float
    latency: float


@dataclass(frozen=True)
class Update:
    """What one update takes of one replica.

    Args:
        gradient_bytes: Summed over all replicas.
        seconds: Of computing.
        rows: Of the batch, for this replica.
    """

    gradient_bytes: int
    seconds: float
    rows: int

    def sum_seconds(self, replicas: int, link: Link) -> float:
        """Seconds that all sums of the update take.

        A ring of n passes 2 (n - 1) messages of a n-th of the bytes each: 2 (n - 1) / n
        of them go over every link, which no all-reduce undercuts (Patarasuk and Yuan
        2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations").

        >>> update = Update(gradient_bytes=1000, seconds=1.0, rows=1)
        >>> update.sum_seconds(4, Link(bytes_per_second=100.0, latency=0.0))
        15.0
        """
        volume = 2 * (replicas - 1) / replicas * self.gradient_bytes
        messages = SUMS * 2 * (replicas - 1)
        return volume / link.bytes_per_second + messages * link.latency

    def efficiency(self, replicas: int, link: Link) -> float:
        """Share of the time that is spent computing; 1 for one replica."""
        return self.seconds / (self.seconds + self.sum_seconds(replicas, link))

    def rows_per_second(self, replicas: int, link: Link) -> float:
        """Throughput of all replicas together."""
        seconds = self.seconds + self.sum_seconds(replicas, link)
        return replicas * self.rows / seconds

    def largest(self, efficiency: float, link: Link) -> int | None:
        """The most replicas at that efficiency or above; `None`: more than a million.

        Efficiency only falls with the replicas.
        """
        low, high = 1, _MOST_REPLICAS
        if self.efficiency(high, link) >= efficiency:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            is_enough = self.efficiency(middle, link) >= efficiency
            low, high = (middle, high) if is_enough else (low, middle)
        return low


def gradient_bytes(trainable: int) -> int:
    """Bytes of the gradients of so many weights: float32 in mixed precision, too.

    >>> gradient_bytes(247_577_856), gradient_bytes(3_538_944)
    (990311424, 14155776)
    """
    return FLOAT32 * trainable
