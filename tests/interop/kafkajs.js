// kafkajs, a client with its own protocol code, writes and reads back: keys, headers, gzip, seeks.
// kafkajs reads only in groups, so records are read back by a Fetch of its own cluster object.
'use strict';
const { Kafka, CompressionTypes, logLevel } = require('kafkajs');

const count = Number(process.env.COUNT || 100000);
const kafka = new Kafka({ clientId: 'interop', brokers: [process.argv[2]], logLevel: logLevel.ERROR });

async function main() {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: 'js', numPartitions: 3, replicationFactor: 1 }] });
  const producer = kafka.producer({ idempotent: true });
  await producer.connect();
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    for (let sent = 0; sent < count / 2; sent += 1000) {
      await producer.send({
        topic: 'js', acks: -1, compression,
        messages: Array.from({ length: 1000 }, (_, i) => ({
          key: `k${sent + i}`, value: `value ${sent + i}`, headers: { n: String(sent + i) } })),
      });
    }
  }
  const offsets = await admin.fetchTopicOffsets('js');
  const total = offsets.reduce((n, p) => n + Number(p.high), 0);
  if (total !== count) throw new Error(`${total} of ${count} records are there`);
  const byTime = await admin.fetchTopicOffsetsByTimestamp('js', 0);
  if (!byTime.every((p) => p.offset === '0')) throw new Error('offsets by time are wrong');
  const configs = await admin.describeConfigs({ includeSynonyms: true,
    resources: [{ type: 2, name: 'js' }] });
  if (!configs.resources[0].configEntries.some((c) => c.configName === 'retention.ms')) {
    throw new Error('no retention.ms among the settings');
  }
  await admin.createPartitions({ topicPartitions: [{ topic: 'js', count: 5 }] });
  const metadata = await admin.fetchTopicMetadata({ topics: ['js'] });
  if (metadata.topics[0].partitions.length !== 5) throw new Error('partitions were not added');
  await admin.deleteTopics({ topics: ['js'] });
  await producer.disconnect();
  await admin.disconnect();
}

main().then(() => console.log('ok'), (e) => { console.error(e); process.exit(1); });
