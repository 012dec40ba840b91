// iovalkey. See loop.py for what it does.

"use strict";

const { Redis } = require("iovalkey");
const { addresses, group, key, serverPassword, sentinelPassword, TIMEOUT, say, run } = require("./loop.js");

const options = {
  sentinels: addresses,
  name: group,
  password: serverPassword,
  sentinelPassword,
  connectTimeout: TIMEOUT,
  commandTimeout: TIMEOUT,
  sentinelCommandTimeout: TIMEOUT,
};
const primary = new Redis({ ...options, role: "master" });
const replica = new Redis({ ...options, role: "slave" });
// Without a listener a lost connection would be printed as an unhandled error.
for (const client of [primary, replica]) {
  client.on("error", (error) => say("fail", error.message));
}

run(
  async (number) => {
    await primary.set(key, number);
    await primary.get(key);
  },
  () => replica.get(key),
  () => { primary.disconnect(); replica.disconnect(); },
);
