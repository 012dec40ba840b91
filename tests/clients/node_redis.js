// node-redis. See loop.py for what it does.

"use strict";

const { createSentinel } = require("redis");
const { addresses, group, key, serverPassword, sentinelPassword, TIMEOUT, say, run } = require("./loop.js");

const socket = { connectTimeout: TIMEOUT, socketTimeout: undefined };
const options = {
  name: group,
  sentinelRootNodes: addresses,
  nodeClientOptions: { password: serverPassword, socket },
  sentinelClientOptions: { password: sentinelPassword, socket },
  // A command that no primary takes now is to fail, so that it can be counted.
  maxCommandRediscovers: 1,
};
const primary = createSentinel(options);
const replica = createSentinel({ ...options, replicaPoolSize: 1 });
for (const client of [primary, replica]) {
  client.on("error", (error) => say("fail", error.message));
}

async function main() {
  await primary.connect();
  await replica.connect();
  await run(
    async (number) => {
      await primary.set(key, String(number));
      await primary.get(key);
    },
    () => replica.get(key),
    () => { primary.destroy(); replica.destroy(); },
  );
}

main();
