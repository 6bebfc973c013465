"""Python's etcd3 client against a member: each part of it once. Prints the names of the parts that held.

Usage: python_client.py PORT FOLDER
"""
import os
import sys

import etcd3

port, folder = int(sys.argv[1]), sys.argv[2]
client = etcd3.client(host="127.0.0.1", port=port, timeout=10)


def keys():
    assert client.get("missing") == (None, None)
    client.put("a/1", "one")
    client.put("a/2", "two")
    value, meta = client.get("a/1")
    assert value == b"one" and meta.key == b"a/1" and meta.version == 1 and meta.mod_revision == meta.create_revision
    assert client.put("a/1", "uno", prev_kv=True).prev_kv.value == b"one"
    assert [v for v, _ in client.get_prefix("a/")] == [b"uno", b"two"]
    assert [v for v, _ in client.get_prefix("a/", sort_order="descend", sort_target="key")] == [b"two", b"uno"]
    assert [v for v, _ in client.get_range("a/1", "a/2")] == [b"uno"]
    assert client.replace("a/1", "uno", "eins") and not client.replace("a/1", "uno", "no")
    assert client.put_if_not_exists("a/3", "three") and not client.put_if_not_exists("a/3", "no")
    assert client.delete("a/3") and not client.delete("a/3")
    assert client.delete_prefix("a/").deleted == 2


def transactions():
    t = client.transactions
    done, answers = client.transaction(
        compare=[t.version("t") == 0], success=[t.put("t", "new"), t.get("t")], failure=[t.get("t")])
    assert done and answers[1][0][0] == b"new"
    done, answers = client.transaction(
        compare=[t.create("t") == 0], success=[t.put("t", "again")], failure=[t.get("t"), t.delete("t")])
    assert not done and answers[0][0][0] == b"new" and client.get("t")[0] is None


def watches():
    events, cancel = client.watch_prefix("w/")
    for i in range(5):
        client.put(f"w/{i}", str(i))
    client.delete("w/0")
    seen = [next(events) for _ in range(6)]
    cancel()
    assert [e.value for e in seen[:5]] == [b"0", b"1", b"2", b"3", b"4"]
    assert isinstance(seen[5], etcd3.events.DeleteEvent) and seen[5].key == b"w/0"
    # From a revision that is over.
    again, cancel = client.watch_prefix("w/", start_revision=seen[2].mod_revision)
    assert next(again).key == b"w/2"
    cancel()


def leases():
    lease = client.lease(30)
    client.put("l", "x", lease=lease)
    assert 0 < lease.remaining_ttl <= 30 and lease.keys == [b"l"] and lease.granted_ttl == 30
    assert list(lease.refresh())[0].TTL == 30
    lease.revoke()
    assert client.get("l")[0] is None


def locks():
    # One after the other: what the client does while it waits does not work with each version of its libraries.
    for _ in range(5):
        with client.lock("mutex", ttl=20) as mine:
            assert mine.is_acquired() and mine.lease.remaining_ttl > 0
            assert client.get(mine.key)[0] == mine.uuid
        assert not mine.is_acquired()


def compaction():
    revision = client.put("c", "1").header.revision
    client.put("c", "2")
    client.compact(revision + 1)
    watch, _ = client.watch("c", start_revision=revision)
    try:
        next(watch)
        raise AssertionError("a compacted revision was watched")
    except etcd3.exceptions.RevisionCompactedError as error:
        assert error.compacted_revision == revision + 1


def cluster():
    assert [m.name for m in client.members] == ["m1"]
    status = client.status()
    assert status.leader.name == "m1" and status.db_size > 0 and status.raft_term > 0
    client.hash()
    client.defragment()
    assert list(client.list_alarms()) == []


def snapshot():
    with open(f"{folder}/snapshot", "wb") as file:
        client.snapshot(file)
    with open(f"{folder}/snapshot", "rb") as file:
        assert len(file.read()) > 4096


for part in [keys, transactions, watches, leases, locks, compaction, cluster, snapshot]:
    part()
    print(part.__name__, flush=True)
# Not closed: its watching thread trips over that now and then.
os._exit(0)
