"""What DescribeLogDirs says of directories and of the logs in them."""
from test_records import create, produce
from wire import Connection

NONE, KAFKA_STORAGE_ERROR = 0, 56
VERSION = 4


def describe(broker, topics=None):
    """{directory: its part of the answer}"""
    with Connection(broker.port) as c:
        answer = c.call("DescribeLogDirs", VERSION, {"Topics": topics})
    assert answer["ErrorCode"] == NONE
    return {d["LogDir"]: d for d in answer["Results"]}


def partitions_of(directory):
    return {(t["Name"], p["PartitionIndex"]) for t in directory["Topics"] for p in t["Partitions"]}


def size_on_disk(directory, topic, partition):
    return sum(f.stat().st_size for f in (directory / f"{topic}-{partition}").glob("*.log"))


def test_each_directory_lists_the_logs_that_lie_in_it(make_broker, tmp_path):
    dirs = [tmp_path / "one", tmp_path / "two"]
    broker = make_broker({"log.dirs": ",".join(map(str, dirs))}).start()
    create(broker.bootstrap, "a", 3)
    create(broker.bootstrap, "b", 3)
    produce(broker.bootstrap, "a", [(str(i), "v" * 100, None) for i in range(100)])
    told = describe(broker)
    assert set(told) == {str(d) for d in dirs}
    assert sum(len(partitions_of(d)) for d in told.values()) == 6
    for path in dirs:
        there = {tuple(d.name.rsplit("-", 1)) for d in path.glob("[ab]-*")}
        assert partitions_of(told[str(path)]) == {(t, int(p)) for t, p in there}
        for topic in told[str(path)]["Topics"]:
            for p in topic["Partitions"]:
                assert p["PartitionSize"] == size_on_disk(path, topic["Name"], p["PartitionIndex"])
                assert (p["OffsetLag"], p["IsFutureKey"]) == (0, False)
    named = describe(broker, [{"Topic": "b", "Partitions": [1, 2, 2, 77]}])
    assert {p for d in named.values() for p in partitions_of(d)} == {("b", 1), ("b", 2)}
    assert sum(len(t["Partitions"]) for d in named.values() for t in d["Topics"]) == 2


def test_a_directory_that_cannot_be_used_is_told_as_a_storage_error(make_broker, tmp_path):
    (tmp_path / "file").write_text("no directory")
    good, bad = tmp_path / "good", tmp_path / "file" / "below"
    broker = make_broker({"log.dirs": f"{bad},{good}"}).start()
    create(broker.bootstrap, "a")
    told = describe(broker)
    assert told[str(bad)] == {"ErrorCode": KAFKA_STORAGE_ERROR, "LogDir": str(bad), "Topics": [],
                              "TotalBytes": -1, "UsableBytes": -1}
    assert told[str(good)]["ErrorCode"] == NONE
    assert partitions_of(told[str(good)]) == {("a", 0)}


def test_a_relative_directory_is_told_by_its_absolute_path(make_broker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    broker = make_broker({"log.dirs": "here//data/"}).start()
    assert set(describe(broker)) == {str(tmp_path / "here" / "data")}
