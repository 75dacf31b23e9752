// A collector: the server of Fluent's own library, with TLS, a shared key and a user. It appends each record it takes to a file.
//
//   collector.js <folder> <port, 0 for any>
//
// The folder holds `certificate.pem` and `key.pem`. Once it listens, it prints its port.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { FluentServer } = require("@fluent-org/logger");

const [folder, port] = process.argv.slice(2);
const within = (name) => path.join(folder, name);

const server = new FluentServer({
  listenOptions: { host: "127.0.0.1", port: Number(port) },
  security: {
    serverHostname: "collector",
    sharedKey: "open sesame",
    authorize: true,
    userDict: { sampan: "let me in" },
  },
  tlsOptions: { cert: fs.readFileSync(within("certificate.pem")), key: fs.readFileSync(within("key.pem")) },
});

const taken = fs.openSync(within("taken.jsonl"), "a");
server.on("entry", (tag, time, record) => {
  const line = JSON.stringify({ tag, seconds: time.epoch, nanoseconds: time.nano, record });
  fs.writeSync(taken, `${line}\n`);
});

// The library acknowledges a chunk and hands on its entries without a pause between, and a signal is heard only in a pause:
// what is acknowledged is written.
process.on("SIGTERM", () => process.exit(0));

server.listen().then(() => console.log(server.port));
