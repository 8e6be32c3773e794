"""The klamm command against a broker: what it prints, and what it exits with."""
import json
import re

import pytest


def ok(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(result, *words, code=1):
    assert result.returncode == code, (result.stdout, result.stderr)
    for word in words:
        assert word in result.stderr
    return result.stderr


def test_a_topic_is_created_listed_described_grown_and_deleted(standalone):
    k = standalone.klamm
    assert ok(k("topic", "create", "orders", "--partitions", 3)) == "Created topic orders.\n"
    refused(k("topic", "create", "--topic", "orders"), "already exists")
    assert ok(k("topic", "create", "orders", "--if-not-exists")) == "Topic orders exists.\n"
    assert ok(k("topic", "list")) == "orders\n"
    lines = ok(k("topic", "describe", "orders")).splitlines()
    assert lines[0] == "Topic: orders\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: "
    assert lines[1] == "\tTopic: orders\tPartition: 0\tLeader: 0\tReplicas: 0\tIsr: 0"
    assert len(lines) == 4
    ok(k("topic", "alter", "orders", "--partitions", 5))
    refused(k("topic", "alter", "orders", "--partitions", 2), "orders")
    (topic,) = json.loads(ok(k("topic", "describe", "orders", "--json")))
    assert topic["partition_count"] == 5
    assert [p["partition"] for p in topic["partitions"]] == [0, 1, 2, 3, 4]
    assert ok(k("topic", "describe", "--unavailable-partitions")) == ""
    assert ok(k("topic", "delete", "orders")) == "Deleted topic orders.\n"
    refused(k("topic", "delete", "orders"), "orders")
    assert ok(k("topic", "delete", "orders", "--if-exists")) == "Topic orders does not exist.\n"
    assert ok(k("topic", "list")) == ""


def test_asking_for_a_topic_does_not_create_it(standalone):
    k = standalone.klamm
    refused(k("topic", "describe", "nope"), "no topic 'nope'")
    refused(k("consume", "-t", "nope", "-e"), "no topic 'nope'")
    refused(k("perf", "produce", "-t", "nope", "-n", 1), "no topic 'nope'")
    assert ok(k("topic", "list")) == ""


def test_altering_one_setting_keeps_the_others(standalone):
    k = standalone.klamm
    ok(k("topic", "create", "t"))
    ok(k("config", "alter", "--topic", "t", "--add-config",
         "cleanup.policy=[compact,delete],retention.ms=5000"))
    ok(k("config", "alter", "--entity-type", "topics", "--entity-name", "t",
         "--add-config", "max.message.bytes=2000000", "--delete-config", "retention.ms"))
    (entity,) = json.loads(ok(k("config", "describe", "--topic", "t", "--json")))
    assert {c["name"]: c["value"] for c in entity["configs"]} == {
        "cleanup.policy": "compact,delete", "max.message.bytes": "2000000"}
    text = ok(k("config", "describe", "--topic", "t"))
    assert "  max.message.bytes=2000000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:" in text
    assert "segment.bytes=" in ok(k("config", "describe", "--topic", "t", "--all"))
    refused(k("config", "alter", "--topic", "t", "--delete-config", "retention.ms"), "not set")
    refused(k("config", "alter", "--topic", "t", "--add-config", "foo=1"), "foo")


def test_settings_of_brokers_and_loggers_are_told(standalone):
    k = standalone.klamm
    ok(k("config", "alter", "--broker", 0, "--add-config", "log.cleaner.threads=2"))
    assert ok(k("config", "describe", "--broker", 0)).startswith(
        "Dynamic configs for broker 0 are:\n  log.cleaner.threads=2 sensitive=false synonyms="
        "{DYNAMIC_BROKER_CONFIG:log.cleaner.threads=2, ")
    assert "  storage=INFO sensitive=false" in ok(k("config", "describe", "--broker-logger", 0))
    refused(k("config", "alter", "--broker-logger", 0, "--add-config", "storage=DEBUG"),
            "kafka-configs.sh", code=2)


def test_a_record_with_many_headers_keeps_them_all(standalone):
    k = standalone.klamm
    headers = [a for i in range(600) for a in ("-H", f"h{i}={i}")]
    ok(k("topic", "create", "t"))
    ok(k("produce", "-t", "t", *headers, input="x\n"))
    record = json.loads(ok(k("consume", "-t", "t", "-e", "--json")))
    assert record["headers"] == [t for i in range(600) for t in (f"h{i}", str(i))]


def test_the_cluster_is_told(standalone):
    k = standalone.klamm
    ok(k("topic", "create", "t", "--partitions", 4))
    cluster = json.loads(ok(k("cluster", "--json")))
    assert cluster["controller"] == 0
    assert [b["id"] for b in cluster["brokers"]] == [0]
    assert cluster["brokers"][0]["port"] == standalone.port
    assert (cluster["topics"], cluster["partitions"]) == (1, 4)
    assert (cluster["offline_partitions"], cluster["under_replicated_partitions"]) == (0, 0)
    assert len(cluster["cluster_id"]) == 22
    assert f"Cluster id:\t{cluster['cluster_id']}\n" in ok(k("cluster"))


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_come_back_as_they_were_sent(standalone, codec):
    k = standalone.klamm
    ok(k("topic", "create", "t"))
    sent = "".join(f"key{i}:value {i}\n" for i in range(2000))
    report = json.loads(ok(k("produce", "-t", "t", "-K", ":", "-H", "colour=red", "-H", "none",
                             "-z", codec, "--json", input=sent)))
    assert (report["sent"], report["delivered"], report["failed"]) == (2000, 2000, 0)
    assert ok(k("consume", "-t", "t", "-e", "-f", "%k:%s\\n")) == sent
    assert ok(k("consume", "-t", "t", "-e", "-K", ":")) == sent
    records = [json.loads(l) for l in ok(k("consume", "-t", "t", "-e", "--json")).splitlines()]
    assert [r["offset"] for r in records] == list(range(2000))
    assert records[7]["key"] == "key7" and records[7]["payload"] == "value 7"
    assert records[7]["headers"] == ["colour", "red", "none", None]
    assert records[7]["tstype"] == "create" and records[7]["broker"] == 0


def test_a_consumer_begins_and_stops_where_it_is_told(standalone):
    k = standalone.klamm
    ok(k("topic", "create", "t"))
    ok(k("produce", "-t", "t", input="".join(f"{i}\n" for i in range(100))))

    def offsets(*args):
        return [int(l) for l in ok(k("consume", "-t", "t", "-f", "%o\\n", *args)).splitlines()]

    assert offsets("-e") == list(range(100))
    assert offsets("-o", 90, "-e") == list(range(90, 100))
    assert offsets("-o", "-3", "-e") == [97, 98, 99]
    assert offsets("-o", "-1000", "-e") == list(range(100))
    assert offsets("-o", "end", "-e") == []
    assert offsets("-c", 2) == [0, 1]
    assert offsets("-o", "s@2020-01-01T00:00:00Z", "-c", 1) == [0]
    assert offsets("-o", "s@2200-01-01", "-e") == []
    assert offsets("-o", "e@2020-01-01") == []
    (late,) = [json.loads(l)["ts"] for l in
               ok(k("consume", "-t", "t", "-o", 99, "-c", 1, "--json")).splitlines()]
    assert offsets("-o", f"s@{late + 1}", "-e") == []
    assert offsets("-o", f"e@{late + 1}") == list(range(100))
    refused(k("consume", "-t", "t", "-o", 5000, "-e"), "t-0", "out of range")
    refused(k("consume", "-t", "t", "-p", 3, "-e"), "no partition 3")
    ok(k("topic", "delete-records", "t", "--partition", 0, "--offset", 60))
    assert offsets("-e") == list(range(60, 100))
    assert offsets("-o", "-80", "-e") == list(range(60, 100))


def test_null_and_binary_records_keep_what_they_are(standalone, tmp_path):
    k = standalone.klamm
    ok(k("topic", "create", "t"))
    ok(k("produce", "-t", "t", "-Z", "-K", ":", input="a:\n:b\n"))
    blob = tmp_path / "blob"
    blob.write_bytes(b"\xff\x00\n")
    ok(k("produce", "-t", "t", "-k", "blob", blob))
    tomb, keyless, raw = [json.loads(l) for l in
                          ok(k("consume", "-t", "t", "-e", "--json")).splitlines()]
    assert (tomb["key"], tomb["payload"]) == ("a", None)
    assert (keyless["key"], keyless["payload"]) == (None, "b")
    assert raw["payload_base64"] == "/wAK"
    assert ok(k("consume", "-t", "t", "-e", "-c", 2, "-Z", "-f", "%k=%s,%K,%S\\n")) == (
        "a=NULL,1,-1\nNULL=b,-1,1\n")


def test_a_record_that_is_not_delivered_ends_with_1(standalone):
    k = standalone.klamm
    ok(k("topic", "create", "t"))
    ok(k("config", "alter", "--topic", "t", "--add-config", "max.message.bytes=2000"))
    refused(k("produce", "-t", "t", "-X", "batch.num.messages=1",
              input="small\n" + "x" * 5000 + "\n"),
            "1 of 2 records were not delivered")


def test_wrong_usage_ends_with_2_and_says_where_help_is(standalone):
    k = standalone.klamm
    refused(k("topic", "create"), "which topic", "klamm topic create --help", code=2)
    refused(k("topic", "create", "t", "--partitions", "many"), "--partitions", "many", code=2)
    refused(k("topic", "frob"), "no command 'topic frob'", "klamm topic list", code=2)
    refused(k("frob"), "no command 'frob'", code=2)
    refused(k("consume", "-t", "t", "-f", "%q"), "%q", code=2)
    refused(k("consume", "-t", "t", "-G", "g"), "consumer group", code=2)
    refused(k("produce", "-t", "t", "-z", "rot13"), "rot13", code=2)
    refused(k("topic", "list", "-X", "no.such=1"), "no.such", code=2)
    refused(k("topic", "list", "--command-config", "/nonexistent"), "/nonexistent", code=2)
    refused(k("config", "describe"), "whose settings", code=2)


def test_every_command_has_help_and_an_example(standalone):
    overview = ok(standalone.klamm("help"))
    names = re.findall(r"^  ([a-z -]+?)  +[A-Z]", overview, re.M)
    assert {"topic create", "config alter", "cluster", "produce", "log dump"} <= set(names)
    for name in names:
        text = ok(standalone.klamm(*name.split(), "--help"))
        assert text == ok(standalone.klamm("help", *name.split()))
        if name != "version":
            assert f"klamm {name}" in text.split("Examples:")[1]
    words = ok(standalone.klamm("help", "--words", "topic")).split()
    assert words == ["create", "list", "describe", "alter", "delete", "delete-records",
                     "elect-leaders"]
    words = ok(standalone.klamm("help", "--words", "reassign")).split()
    assert words == ["plan", "apply", "watch", "cancel"]
    assert "--partitions=" in ok(standalone.klamm("help", "--words", "topic", "create")).split()


def test_a_cluster_that_is_not_there_is_told_soon(standalone):
    standalone.stop()
    refused(standalone.klamm("cluster", "--timeout", 20000, timeout_s=10), standalone.bootstrap,
            "refused")


def test_measuring_counts_every_record(standalone):
    k = standalone.klamm
    ok(k("topic", "create", "t", "--partitions", 2))
    sent = json.loads(ok(k("perf", "produce", "-t", "t", "-n", 5000, "-s", 100, "--json")))
    assert (sent["records"], sent["bytes"], sent["failed"]) == (5000, 500000, 0)
    latency = sent["latency_ms"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]
    got = json.loads(ok(k("perf", "consume", "-t", "t", "--json")))
    assert (got["records"], got["bytes"]) == (5000, 500000)
    assert "5000 records received" in ok(k("perf", "consume", "-t", "t", "-n", 5000))


def test_a_log_is_dumped_and_its_damage_found(standalone):
    k = standalone.klamm
    ok(k("topic", "create", "t"))
    ok(k("produce", "-t", "t", "-K", ":", "-H", "h=1", input="k:hello\n:\x1b[2J\n"))
    ok(k("perf", "produce", "-t", "t", "-n", 3000, "-s", 200, "--batch-size", 4096))
    standalone.stop()
    folder = standalone.data / "t-0"
    log = folder / "00000000000000000000.log"
    text = ok(k("log", "dump", "--print-data-log", log))
    assert text.splitlines()[2].startswith("baseOffset: 0 lastOffset: 1 count: 2 baseSequence: 0 ")
    assert "keySize: 1 valueSize: 5 sequence: 0 headerKeys: [h] key: k payload: hello\n" in text
    assert "payload: \\x1b[2J" in text
    assert text.count("\n| offset: ") == 3002
    objects = [json.loads(l) for l in ok(k("log", "dump", "--deep", "--json", log)).splitlines()]
    assert sum(o["type"] == "record" for o in objects) == 3002
    whole = ok(k("log", "dump", folder))
    for name in (".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint",
                 "partition.metadata"):
        assert f"{name}\n" in whole
    assert "passed sanity check" in ok(k("log", "dump", "--index-sanity-check",
                                         folder / "00000000000000000000.index"))

    index = folder / "00000000000000000000.index"
    entries = bytearray(index.read_bytes())
    assert len(entries) >= 16
    entries[7] ^= 1
    index.write_bytes(entries)
    refused(k("log", "dump", index), "no batch begins at position")

    content = bytearray(log.read_bytes())
    content[70] ^= 1
    log.write_bytes(content)
    refused(k("log", "dump", log), "position 0", "CRC is wrong")
    content[70] ^= 1
    log.write_bytes(content[:-5])
    refused(k("log", "dump", "--deep", log), "are no whole batch")
    refused(k("log", "dump", folder / "nothing.log"), "nothing.log")
