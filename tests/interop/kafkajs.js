// kafkajs, a client with its own protocol code: $COUNT keyed records with headers in every codec that
// it can be given, written by an idempotent producer and read back by a consumer group. What is read
// is compared whole: key, value, headers and order, partition by partition; then the committed
// offsets. Last what its admin client can ask.
//
// usage: kafkajs.js BOOTSTRAP [CA.pem]      with an authority's certificate: over TLS
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const { Kafka, CompressionTypes, CompressionCodecs, Partitioners, logLevel } = require('kafkajs');

const count = Number(process.env.COUNT || 1000000);
const partitions = 6;
const perRequest = 1000;
const stallMs = 60000; // nothing comes for so long: it will not come
const ssl = process.argv[3] ? { ca: [fs.readFileSync(process.argv[3])] } : false;
const kafka = new Kafka({ clientId: 'interop', brokers: [process.argv[2]], ssl,
  logLevel: logLevel.ERROR });
const filler = Array.from({ length: 400 }, (_, i) => i.toString(16)).join('');

function check(condition, sentence) {
  if (!condition) throw new Error(sentence);
}

// What plug-ins there are; a codec without one is left out, and said.
function codecs() {
  const plugins = {
    Snappy: () => require('kafkajs-snappy'),
    LZ4: () => new (require('kafkajs-lz4'))().codec,
    ZSTD: () => {
      const zstd = require('@mongodb-js/zstd');
      return () => ({ compress: (encoder) => zstd.compress(encoder.buffer, 3),
        decompress: (buffer) => zstd.decompress(buffer) });
    },
  };
  const found = ['None', 'GZIP'];
  for (const [name, load] of Object.entries(plugins)) {
    try {
      CompressionCodecs[CompressionTypes[name]] = load();
      found.push(name);
    } catch (e) {
      console.log(`without ${name}: ${e.message.split('\n')[0]}`);
    }
  }
  return found;
}

// The i-th record: tombstones, empty values, headers once, twice and empty.
function record(i) {
  const headers = { n: String(i) };
  if (i % 3 === 0) Object.assign(headers, { again: ['first', Buffer.from([0, 255, i % 256])], empty: '' });
  let value = `value ${i} ${filler.slice(i % 97, i % 97 + i % 211)}`;
  if (i % 1000 === 17) value = null;
  if (i % 1000 === 18) value = '';
  return { key: `key-${(i * 7919) % Math.floor(count / 10 + 1)}`, value, headers };
}

// Of a row of records, in their order; null and empty differ.
class Digest {
  constructor() { this.hash = crypto.createHash('sha1'); this.records = 0; }

  add({ key, value, headers }) {
    const parts = [key, value];
    for (const name of Object.keys(headers).sort()) {
      parts.push(name, ...[].concat(headers[name]));
    }
    const bytes = parts.map((p) => (p === null ? null : Buffer.from(p)));
    this.hash.update(bytes.map((b) => (b === null ? 'null' : b.length)).join() + ';');
    for (const b of bytes) if (b !== null) this.hash.update(b);
    this.records++;
  }
}

const digests = () => Array.from({ length: partitions }, () => new Digest());
const text = (rows) => rows.map((d) => `${d.records} ${d.hash.copy().digest('hex')}`).join('\n');

async function produce(topic, compression) {
  const producer = kafka.producer({ idempotent: true,
    createPartitioner: Partitioners.DefaultPartitioner });
  const choose = Partitioners.DefaultPartitioner();
  const metadata = Array.from({ length: partitions }, (_, i) => ({ partitionId: i, leader: 0 }));
  const sent = digests();
  await producer.connect();
  for (let at = 0; at < count; at += perRequest) {
    const messages = Array.from({ length: Math.min(perRequest, count - at) }, (_, i) => record(at + i));
    for (const m of messages) {
      sent[choose({ topic, partitionMetadata: metadata, message: m })].add(m);
    }
    await producer.send({ topic, acks: -1, compression, messages });
  }
  await producer.disconnect();
  return sent;
}

// Reads the topic in a group of its own, until all is there.
async function consume(topic, group) {
  const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 100 });
  const got = digests();
  const next = new Array(partitions).fill(0n);
  let total = 0;
  let last = Date.now();
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await new Promise((resolve, reject) => {
    const watch = setInterval(() => {
      if (Date.now() - last > stallMs) reject(new Error(`${total} of ${count} records of ${topic}`));
    }, 1000);
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.run({
      eachBatch: async ({ batch }) => {
        for (const m of batch.messages) {
          if (BigInt(m.offset) !== next[batch.partition]) {
            reject(new Error(`offset ${m.offset} of ${topic}-${batch.partition} after ` +
              `${next[batch.partition] - 1n}`));
          }
          next[batch.partition] += 1n;
          got[batch.partition].add(m);
        }
        total += batch.messages.length;
        last = Date.now();
        if (total >= count) { clearInterval(watch); resolve(); }
      },
    }).catch(reject);
  });
  await consumer.stop(); // commits
  await consumer.disconnect();
  return got;
}

async function writeAndRead(admin, name) {
  const topic = `js-${name}`;
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }] });
  const sent = await produce(topic, CompressionTypes[name]);
  const ends = await admin.fetchTopicOffsets(topic);
  const total = ends.reduce((n, p) => n + Number(p.high), 0);
  check(total === count, `${total} of ${count} records are in ${topic}`);
  const got = await consume(topic, `group of ${topic}`);
  check(text(got) === text(sent), `${topic}: read\n${text(got)}\nsent\n${text(sent)}`);
  const [committed] = await admin.fetchOffsets({ groupId: `group of ${topic}`, topics: [topic] });
  for (const { partition, offset } of committed.partitions) {
    check(Number(offset) === sent[partition].records, `${offset} is committed of ${topic}-${partition}`);
  }
  console.log(`${name}: ${count} records`);
}

// Where a consumer goes on after a seek: the offset of the first record it is given.
async function seekTo(topic, offset) {
  const consumer = kafka.consumer({ groupId: `seeks in ${topic}`, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const first = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`nothing at ${offset}`)), stallMs);
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        if (partition !== 0 || BigInt(message.offset) < BigInt(offset)) return;
        clearTimeout(timer);
        resolve(message.offset);
      },
    }).catch(reject);
  });
  consumer.seek({ topic, partition: 0, offset });
  const got = await first;
  await consumer.stop();
  await consumer.disconnect();
  return got;
}

// To the beginning, an offset, a time, and the last record.
async function seek(admin) {
  const topic = 'js-None';
  const [end] = (await admin.fetchTopicOffsets(topic)).filter((p) => p.partition === 0);
  const last = String(BigInt(end.high) - 1n);
  const middle = String(BigInt(end.high) / 2n);
  const [now] = (await admin.fetchTopicOffsetsByTimestamp(topic, Date.now() + 1000))
    .filter((p) => p.partition === 0);
  const [then] = (await admin.fetchTopicOffsetsByTimestamp(topic, 1))
    .filter((p) => p.partition === 0);
  check(now.offset === end.high, `${now.offset} is the offset of a time to come, not ${end.high}`);
  for (const offset of ['0', middle, then.offset, last]) {
    check((await seekTo(topic, offset)) === offset, `a seek to ${offset} of ${topic}-0 went astray`);
  }
}

async function administer(admin) {
  const topic = 'js-None';
  const byTime = await admin.fetchTopicOffsetsByTimestamp(topic, 0);
  check(byTime.every((p) => p.offset === '0'), 'offsets by time are wrong');
  const configs = await admin.describeConfigs({ includeSynonyms: true,
    resources: [{ type: 2, name: topic }] });
  check(configs.resources[0].configEntries.some((c) => c.configName === 'retention.ms'),
    'no retention.ms among the settings');
  await admin.createPartitions({ topicPartitions: [{ topic, count: partitions + 2 }] });
  const metadata = await admin.fetchTopicMetadata({ topics: [topic] });
  check(metadata.topics[0].partitions.length === partitions + 2, 'partitions were not added');
  const { groups } = await admin.listGroups();
  check(groups.some((g) => g.groupId === `group of ${topic}`), 'the group is not listed');
  const described = await admin.describeGroups([`group of ${topic}`]);
  check(described.groups[0].state === 'Empty', `the group is ${described.groups[0].state}`);
  await admin.deleteGroups([`group of ${topic}`]);
  await admin.deleteTopics({ topics: [topic] });
}

async function main() {
  const admin = kafka.admin();
  await admin.connect();
  for (const name of codecs()) await writeAndRead(admin, name);
  await seek(admin);
  await administer(admin);
  await admin.disconnect();
}

main().then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
