// Holds a running stack to its word: stock clients behind its proxy, notices over gRPC, gateways that go.
//
// node compose.mjs { url, grpc, protos, secret, key, users, rate, faults: [{ name, command }] }
// Notices are sent all the time, `rate` a second, to every user in turn; meanwhile each fault's shell command
// is run. In the end every user's client must have got each accepted notice, in order and without a gap.

import { exec } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { credentials, loadPackageDefinition, Metadata, status } from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';
import { io } from 'socket.io-client';

const { url, grpc, protos, secret, key, users, rate, faults } = JSON.parse(process.argv[2]);
const CONNECT_MS = 30_000;
const SETTLE_MS = 60_000;
const run = promisify(exec);
const problems = [];

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
function token(sub) {
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub, exp: Math.floor(Date.now() / 1000) + 3600 })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** A user's one device, as docs/clients.md has it written: a cursor is kept, what was seen is dropped. */
class Device {
  seen = new Set();
  numbers = [];
  disconnects = 0;
  again = 0;

  constructor(user, transports) {
    this.user = user;
    const ours = token(user);
    const auth = (give) => give({ token: ours, cursor: this.cursor, device: 'compose' });
    // In the query for the proxy, which tells clients apart by it.
    this.socket = io(url, { path: '/notice', transports, auth, query: { token: ours }, forceNew: true, reconnectionDelayMax: 2000 });
    this.socket.on('herald:ready', ({ cursor }) => {
      this.cursor = cursor;
      this.ready = true;
    });
    this.socket.on('herald:gap', (gap) => problems.push(`${user} was told of a gap: ${JSON.stringify(gap)}`));
    this.socket.on('connect_error', (error) => {
      if (!this.socket.active) problems.push(`${user} was turned away for good: ${error.message}`);
    });
    this.socket.on('disconnect', (reason) => {
      this.disconnects += 1;
      this.ready = false;
      if (!this.socket.active) problems.push(`${user} was disconnected for good: ${reason}`);
    });
    this.socket.on('notice', ({ number }, meta) => {
      this.cursor = meta.cursor ?? this.cursor;
      if (this.seen.has(meta.id)) {
        this.again += 1;
        return;
      }
      this.seen.add(meta.id);
      this.numbers.push(number);
    });
  }
}

async function until(what, ms, condition) {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) return problems.push(`not within ${ms / 1000} s: ${what()}`);
    await pause(20);
  }
}

const OPTIONS = { keepCase: false, longs: String, enums: String, bytes: String, defaults: true, oneofs: true };
const { herald } = loadPackageDefinition(await load('herald/v1/notice_service.proto', { ...OPTIONS, includeDirs: [protos] }));
const notices = new herald.v1.NoticeService(grpc, credentials.createInsecure());
const metadata = new Metadata();
metadata.set('authorization', `Bearer ${key}`);

/** Sends until it is known to be accepted; the idempotency key makes a retry harmless. */
async function send(device, number) {
  const json = Buffer.from(JSON.stringify({ number }));
  const request = { userId: device.user, json, idempotencyKey: `${number}` };
  for (let attempt = 0; attempt < 20; attempt++) {
    const call = { deadline: Date.now() + 5_000 };
    const error = await new Promise((done) => notices.sendNotice(request, metadata, call, done));
    if (!error) return true;
    if (error.code !== status.UNAVAILABLE && error.code !== status.DEADLINE_EXCEEDED) throw error;
    await pause(250);
  }
  throw new Error(`a notice to ${device.user} was not accepted by any of 20 attempts`);
}

const kinds = [['websocket'], ['polling', 'websocket'], ['polling']];
const devices = Array.from({ length: users }, (_, n) => new Device(`compose-${n}`, kinds[n % kinds.length]));
const away = () => devices.filter((device) => !device.ready);
await until(() => `${away().length} of ${users} clients ready`, CONNECT_MS, () => away().length === 0);
console.log(`${devices.length} clients are connected`);

let sending = problems.length === 0;
const accepted = new Map(devices.map((device) => [device, []]));
// A user's notices are sent one after the other, so that their order is known.
const senders = devices.map(async (device, n) => {
  await pause((n * 1000) / rate);
  for (let number = 0; sending; number++) {
    if (await send(device, number)) accepted.get(device).push(number);
    await pause((users * 1000) / rate);
  }
});
const failed = Promise.all(senders).then(
  () => {},
  (error) => {
    sending = false;
    problems.push(`sending failed: ${error.message}`);
  },
);

for (const { name, command } of sending ? faults : []) {
  const before = devices.map((device) => device.disconnects);
  const from = Date.now();
  await run(command);
  await until(() => `all clients back after "${name}"`, SETTLE_MS, () => away().length === 0);
  const thrown = devices.filter((device, n) => device.disconnects > before[n]).length;
  console.log(`${name}: ${thrown} clients lost their gateway and came back, ${((Date.now() - from) / 1000).toFixed(1)} s in all`);
  if (thrown === 0) problems.push(`"${name}" touched no client, so it showed nothing`);
}
sending = false;
await failed;

const missing = (device) => accepted.get(device).filter((number) => !device.numbers.includes(number));
await until(
  () => `all notices arrived; missing: ${devices.flatMap((d) => missing(d).map((n) => `${d.user}/${n}`)).slice(0, 10)}`,
  SETTLE_MS,
  () => devices.every((device) => missing(device).length === 0),
);
for (const { user, numbers } of devices) {
  if (numbers.some((number, n) => n > 0 && number <= numbers[n - 1])) problems.push(`${user} got notices twice or out of order: ${numbers}`);
}
const count = [...accepted.values()].reduce((sum, list) => sum + list.length, 0);
const again = devices.reduce((sum, device) => sum + device.again, 0);
if (count === 0) problems.push('no notice was accepted');
devices.forEach(({ socket }) => socket.off().disconnect());
notices.close();
console.log(`${count} notices accepted, ${problems.length === 0 ? 'all seen once and in order' : 'NOT all as they should be'} (${again} came again after a reconnect and were dropped by id)`);
problems.slice(0, 20).forEach((problem) => console.error(`compose: ${problem}`));
process.exit(problems.length === 0 ? 0 : 1);
