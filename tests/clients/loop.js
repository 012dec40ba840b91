// What all clients in JavaScript share: the arguments, the loop, and what is printed. See loop.py, which does the same.

"use strict";

const [list, group, key] = process.argv.slice(2);
const addresses = list.split(",").map((each) => {
  const [host, port] = each.split(":");
  return { host, port: Number(port) };
});
const serverPassword = process.env.CLIENT_SERVER_PASSWORD || undefined;
const sentinelPassword = process.env.CLIENT_SENTINEL_PASSWORD || undefined;

// Milliseconds; the same for every client that can be told.
const TIMEOUT = 500;
const PAUSE = 5;
const PAUSE_AFTER_FAILURE = 20;

const say = (...words) => console.log(...words);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function run(writeAndRead, readReplica, close) {
  let ended = false;
  let replicaReads = 0;
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (text) => { replicaReads += text.split("\n").length - 1; });
  process.stdin.on("end", () => { ended = true; });
  let number = 1;
  while (!ended) {
    try {
      await writeAndRead(number);
      say("ack", number);
      number += 1;
      if (replicaReads > 0 && (await readReplica()) !== null) {
        replicaReads -= 1;
        say("replica ok");
      }
      await pause(PAUSE);
    } catch (error) {
      say("fail", error.name, error.message);
      await pause(PAUSE_AFTER_FAILURE);
    }
  }
  say("end", number - 1);
  close();
}

module.exports = { addresses, group, key, serverPassword, sentinelPassword, TIMEOUT, say, run };
