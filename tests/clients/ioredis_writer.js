// Writes through the coordinators with ioredis: key = 1, 2, 3 ... until standard input is closed.
//
// Arguments: HOST:PORT,HOST:PORT... GROUP KEY. Prints `ack N` for each accepted write, `fail ...` for each refused one,
// `replica ok` once a replica was read, and `end N` at the end.

"use strict";

const { Redis } = require("ioredis");

const [list, name, key] = process.argv.slice(2);
const sentinels = list.split(",").map((each) => {
  const [host, port] = each.split(":");
  return { host, port: Number(port) };
});
const options = { sentinels, name, connectTimeout: 500, commandTimeout: 500, sentinelCommandTimeout: 500 };
const primary = new Redis({ ...options, role: "master" });
const replica = new Redis({ ...options, role: "slave" });
// Without a listener a lost connection would be printed as an unhandled error.
for (const client of [primary, replica]) {
  client.on("error", (error) => console.log("fail", error.message));
}

let ended = false;
process.stdin.on("end", () => { ended = true; });
process.stdin.resume();

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function main() {
  let number = 1;
  let last = 0;
  let replicaRead = false;
  while (!ended) {
    try {
      await primary.set(key, number);
      last = number;
      number += 1;
      console.log("ack", last);
      if (!replicaRead && (await replica.get(key)) !== null) {
        replicaRead = true;
        console.log("replica ok");
      }
    } catch (error) {
      console.log("fail", error.message);
      await pause(50);
    }
    await pause(5);
  }
  console.log("end", last);
  primary.disconnect();
  replica.disconnect();
}

main();
