"""A consumer as a process of its own, so that a test can kill it.

usage: group_child.py BOOTSTRAP GROUP TOPIC

Commits each record by itself, then prints "partition next-offset value".
"""
import sys

from confluent_kafka import Consumer

consumer = Consumer({
    "bootstrap.servers": sys.argv[1], "group.id": sys.argv[2], "auto.offset.reset": "earliest",
    "session.timeout.ms": 6000, "heartbeat.interval.ms": 200, "enable.auto.commit": False})
consumer.subscribe([sys.argv[3]])
while True:
    message = consumer.poll(1)
    if message is None or message.error():
        continue
    consumer.commit(message=message, asynchronous=False)
    print(message.partition(), message.offset() + 1, message.value().decode(), flush=True)
