// Against the real server, over connections that really break.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';
import { connect } from '@herald/client';
import { proxy } from './lib/proxy.mjs';
import { server } from './lib/server.mjs';
import { until } from './lib/until.mjs';

const patient = { timeout: 60_000 };
/**
 * Back within the test's patience. WebSocket alone, since Socket.IO notices only by its heartbeat
 * that a connection broke in the middle of an upgrade to it, and by `timeout` that one broke in
 * the middle of its opening.
 */
const QUICK = { transports: ['websocket'], reconnectionDelay: 20, reconnectionDelayMax: 100, timeout: 1_000 };

let herald;
let line;
const open = [];

before(async () => {
  herald = await server('--inbox-notices', '20');
  line = await proxy(herald.port);
}, patient);

after(async () => {
  line?.close();
  await herald?.stop();
});

afterEach(() => {
  for (const client of open.splice(0)) client.close();
  line.up();
});

let users = 0;
const someone = () => `user-${++users}`;

function client(token, options = {}, port = line.port) {
  const client = connect(`http://127.0.0.1:${port}/notice`, { token, socket: QUICK, ...options });
  open.push(client);
  client.errors = [];
  client.on('error', (error) => client.errors.push(error));
  return client;
}

const online = (client) => until(() => client.state === 'online');
const offline = (client) => until(() => client.state === 'offline');

async function send(user, from, to) {
  for (let n = from; n <= to; n++) await herald.send(user, n);
}

/** What a handler has seen. */
function collect(client, event = 'notice') {
  const seen = [];
  client.on(event, (payload) => void seen.push(payload));
  return seen;
}

for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
  test(`notices arrive in order, with what the server says of them: ${transports}`, patient, async () => {
    const user = someone();
    const phone = client(user, { device: 'phone', socket: { ...QUICK, transports } });
    const seen = [];
    phone.on('notice', (payload, meta) => void seen.push({ payload, ...meta }));
    const ready = await new Promise((resolve) => phone.on('ready', resolve));
    assert.ok(ready.session && ready.cursor);
    const { noticeId, sessions } = await herald.send(user, { text: 'é' });
    assert.equal(sessions[0].device, 'phone');
    await send(user, 1, 10);
    await until(() => seen.length === 11);
    assert.deepEqual(seen.map(({ payload }) => payload), [{ text: 'é' }, ...Array.from({ length: 10 }, (_, n) => n + 1)]);
    const [{ id, sentAt, replayed, cursor }] = seen;
    assert.deepEqual([id, replayed, typeof cursor], [noticeId, false, 'string']);
    assert.ok(Math.abs(Date.now() - sentAt) < 60_000);
  });
}

const WAIT = { waitFor: 'WAIT_FOR_ACKED_ALL', waitTimeout: '20s' };

for (const transports of [['websocket'], ['polling']]) {
  test(`the sender hears of it when the handler has ended: ${transports}`, patient, async () => {
    const user = someone();
    const device = client(user, { device: 'phone', socket: { ...QUICK, transports } });
    let end;
    device.on('notice', () => new Promise((resolve) => (end = resolve)));
    await online(device);
    let answer;
    const sent = herald.send(user, 1, WAIT).then((known) => (answer = known));
    await until(() => end);
    assert.equal(answer, undefined, 'the handler is at it');
    end();
    await sent;
    assert.deepEqual([answer.outcome, answer.waitSatisfied], ['OUTCOME_ACKED', true]);
    assert.deepEqual(answer.sessions.map(({ device, state }) => [device, state]), [['phone', 'SESSION_STATE_ACKED']]);
  });
}

test('what a handler throws at, or nobody handles, is not acknowledged', patient, async () => {
  const user = someone();
  const device = client(user);
  device.on('notice', () => {
    throw new Error('boom');
  });
  await online(device);
  for (const event of ['notice', 'unknown']) {
    const known = await herald.send(user, 1, { ...WAIT, event, waitTimeout: '1s' });
    assert.deepEqual([known.waitSatisfied, known.sessions[0].state], [false, 'SESSION_STATE_EMITTED']);
  }
});

test('a notice that came again over another connection is acknowledged there', patient, async () => {
  const user = someone();
  const device = client(user, { device: 'phone' });
  let end;
  device.on('notice', () => new Promise((resolve) => (end = resolve)));
  await online(device);
  const sent = herald.send(user, 1, WAIT);
  await until(() => end);
  line.cut();
  await offline(device);
  await online(device);
  end();
  const known = await sent;
  assert.ok(known.waitSatisfied);
  assert.deepEqual(known.sessions.map(({ state }) => state), ['SESSION_STATE_GONE', 'SESSION_STATE_ACKED']);
});

test('names of events reach their handlers, and keep their order among each other', patient, async () => {
  const user = someone();
  const device = client(user);
  const seen = [];
  for (const event of ['notice', 'order']) device.on(event, (n) => void seen.push([event, n]));
  await online(device);
  for (let n = 0; n < 6; n++) await herald.send(user, n, { event: ['notice', 'order', 'unknown'][n % 3] });
  await until(() => seen.length === 4);
  assert.deepEqual(seen, [['notice', 0], ['order', 1], ['notice', 3], ['order', 4]]);
});

test('volatile notices and broadcasts are handled, and leave the place where it is', patient, async () => {
  const user = someone();
  const device = client(user);
  const seen = collect(device);
  const all = collect(device, 'all');
  await online(device);
  await send(user, 1, 1);
  await herald.send(user, 'volatile', { volatile: true });
  await herald.broadcast('to all', { event: 'all' });
  await until(() => seen.length === 2 && all.length === 1);
  line.down();
  await offline(device);
  await send(user, 2, 2);
  line.up();
  await until(() => seen.length === 3);
  assert.deepEqual([seen, all], [[1, 'volatile', 2], ['to all']]);
});

test('a transport that is cut again and again loses nothing and doubles nothing', patient, async () => {
  const user = someone();
  const device = client(user);
  const seen = [];
  device.on('notice', async (n) => {
    // Sometimes at work while the connection goes.
    await new Promise((resolve) => setTimeout(resolve, n % 7));
    seen.push(n);
  });
  let sessions = 0;
  device.on('online', () => void sessions++);
  await online(device);
  for (let n = 1; n <= 100; n++) {
    await herald.send(user, n);
    if (n % 10 === 0) {
      line.cut();
      await until(() => seen.length >= n - 8);
    }
  }
  await until(() => seen.length >= 100);
  assert.deepEqual(seen, Array.from({ length: 100 }, (_, n) => n + 1));
  assert.ok(sessions > 3, `${sessions} sessions`);
});

test('what was sent while nobody was there is replayed', patient, async () => {
  const user = someone();
  const device = client(user);
  const seen = [];
  device.on('notice', (n, { replayed }) => void seen.push([n, replayed]));
  await online(device);
  line.down();
  await offline(device);
  await send(user, 1, 2);
  line.up();
  await until(() => seen.length === 2);
  await send(user, 3, 3);
  await until(() => seen.length === 3);
  assert.deepEqual(seen, [[1, true], [2, true], [3, false]]);
});

test('with localStorage a page goes on where the last one was', patient, async (t) => {
  const kept = new Map();
  globalThis.localStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
  };
  t.after(() => delete globalThis.localStorage);
  const user = someone();
  const options = { storage: 'local', key: `herald:${user}` };

  // A page that is left before its first notice has a place all the same.
  const first = client(user, options);
  await new Promise((resolve) => first.on('ready', resolve));
  first.close();
  await send(user, 1, 2);
  const place = kept.get(options.key);

  // The second one is left while a handler is at work.
  const second = client(user, options);
  const handled = [];
  second.on('notice', (n) => (n === 2 ? new Promise(() => {}) : void handled.push(n)));
  await until(() => kept.get(options.key) !== place);
  second.close();
  await send(user, 3, 3);

  const third = client(user, options);
  const seen = collect(third);
  await until(() => seen.length === 2);
  assert.deepEqual([handled, seen], [[1], [2, 3]]);
  assert.deepEqual([...first.errors, ...second.errors, ...third.errors], []);
});

test('everything that is kept can be asked for', patient, async () => {
  const user = someone();
  await send(user, 1, 3);
  const seen = collect(client(user, { cursor: 'start' }));
  await until(() => seen.length === 3);
  assert.deepEqual(seen, [1, 2, 3]);
});

test('what was removed meanwhile is told before what is kept', patient, async () => {
  const user = someone();
  const device = client(user);
  const seen = collect(device);
  device.on('gap', ({ reason }) => void seen.push(reason));
  await online(device);
  await send(user, 1, 1);
  await until(() => seen.length === 1);
  line.down();
  await offline(device);
  await send(user, 2, 30);
  line.up();
  await until(() => seen.length === 22);
  assert.deepEqual(seen, [1, 'expired', ...Array.from({ length: 20 }, (_, n) => n + 11)]);
  line.cut();
  await offline(device);
  await send(user, 31, 31);
  await until(() => seen.length === 23);
  assert.equal(seen.at(-1), 31, 'the gap is told once');
});

test("another user's place is no place", patient, async () => {
  const kept = new Map();
  const storage = { get: async (key) => kept.get(key), set: async (key, value) => void kept.set(key, value) };
  const [one, other] = [someone(), someone()];
  const first = client(one, { storage, key: 'shared' });
  await new Promise((resolve) => first.on('ready', resolve));
  await until(() => kept.has('shared'));
  first.close();
  await send(other, 1, 1);
  const second = client(other, { storage, key: 'shared' });
  const seen = collect(second);
  second.on('gap', ({ reason, after }) => void seen.push([reason, after]));
  await until(() => seen.length === 2);
  assert.deepEqual(seen, [['malformed', null], 1]);
});

test('a server that lost everything says so, and what is new arrives', patient, async () => {
  const first = await server();
  const other = await proxy(first.port);
  let second;
  try {
    const user = someone();
    const device = client(user, {}, other.port);
    const seen = collect(device);
    device.on('gap', ({ reason }) => void seen.push(reason));
    await online(device);
    await first.send(user, 1);
    await until(() => seen.length === 1);
    other.down();
    await first.stop();
    second = await server();
    await second.send(user, 2);
    other.to = second.port;
    other.up();
    await until(() => seen.length === 3);
    assert.deepEqual(seen, [1, 'reset', 2]);
  } finally {
    other.close();
    await first.stop();
    await second?.stop();
  }
});

test('a notice whose handler throws comes again with the next connection', patient, async () => {
  const user = someone();
  const device = client(user);
  const seen = [];
  device.on('notice', async (n) => {
    seen.push(n);
    if (n === 2 && seen.length === 2) throw new Error('not now');
  });
  await online(device);
  await send(user, 1, 3);
  await until(() => seen.length === 3);
  assert.deepEqual(device.errors.map(({ code, args: [n] }) => [code, n]), [['handler', 2]]);
  line.cut();
  await offline(device);
  await send(user, 4, 4);
  await until(() => seen.length === 5);
  assert.deepEqual(seen, [1, 2, 3, 2, 4]);
});

test('a client with more than it can hold leaves, and gets it all in the end', patient, async () => {
  const user = someone();
  const device = client(user, { maxWaiting: 2 });
  const seen = [];
  let free;
  const held = new Promise((resolve) => (free = resolve));
  device.on('notice', async (n) => {
    await held;
    seen.push(n);
  });
  const reasons = [];
  device.on('offline', (...args) => void reasons.push(args));
  await online(device);
  await send(user, 1, 10);
  await until(() => reasons.length === 1);
  assert.deepEqual(reasons, [['overflow', true]]);
  free();
  await until(() => seen.length === 10);
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('two clients on one address are two sessions', patient, async () => {
  const [one, other] = [someone(), someone()];
  const [a, b] = [one, other].map((user) => client(user));
  const seen = [a, b].map((device) => collect(device));
  await Promise.all([online(a), online(b)]);
  await send(one, 1, 1);
  await send(other, 2, 2);
  await until(() => seen[0].length && seen[1].length);
  assert.deepEqual(seen, [[1], [2]]);
});

test('without a token the client stops, and goes on with one', patient, async () => {
  const user = someone();
  const device = client(undefined);
  const seen = collect(device);
  await until(() => device.errors.length === 1);
  assert.deepEqual(device.errors.map(({ code, final }) => [code, final]), [['token_missing', true]]);
  device.renew(user);
  await online(device);
  await send(user, 1, 1);
  await until(() => seen.length === 1);
});

test('a device that the server does not take is final', patient, async () => {
  const device = client(someone(), { device: 'd'.repeat(65) });
  await until(() => device.errors.length === 1);
  const [{ code, final, message }] = device.errors;
  assert.deepEqual([code, final], ['refused', true]);
  assert.match(message, /device/);
});

const secret = 'a secret of at least thirty-two bytes';

/** A token of this user that ends in so many seconds. */
function jwt(sub, seconds) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub, exp })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

test('when the token ends, one with a token function stays and one with a text is let go', patient, async () => {
  const strict = await server(
    ...['--client-auth', 'jwt', '--jwt-secret', secret, '--jwt-leeway', '0', '--token-expiry-notice', '4s'],
  );
  try {
    let asked = 0;
    const renewing = client(() => jwt('alice', asked++ ? 600 : 7), {}, strict.port);
    const fixed = client(jwt('alice', 7), {}, strict.port);
    const told = [];
    fixed.on('tokenExpiring', ({ inMs }) => told.push(inMs));
    const ends = [[], []];
    [renewing, fixed].forEach((device, i) => device.on('offline', (...why) => ends[i].push(why)));
    const seen = collect(renewing);
    await Promise.all([online(renewing), online(fixed)]);
    await until(() => fixed.errors.some(({ final }) => final));
    assert.equal(told.length, 1);
    assert.ok(told[0] > 0 && told[0] <= 4_000, String(told));
    // Its transport was closed, so it came back, and met the refusal.
    assert.deepEqual(ends[1], [['transport close', true]]);
    assert.equal(fixed.errors.at(-1).code, 'token_expired');
    assert.equal(asked, 2);
    await strict.send('alice', 1);
    await until(() => seen.length === 1);
    assert.deepEqual([ends[0], renewing.errors], [[], []]);
  } finally {
    await strict.stop();
  }
});

test('a token that has expired is asked for once more', patient, async () => {
  const strict = await server('--client-auth', 'jwt', '--jwt-secret', secret);
  try {
    const tokens = [];
    const device = client(
      async () => {
        tokens.push(jwt('alice', tokens.length === 1 ? 600 : -600));
        return tokens.at(-1);
      },
      {},
      strict.port,
    );
    const seen = collect(device);
    await online(device);
    assert.deepEqual(device.errors.map(({ code, final }) => [code, final]), [['token_expired', false]]);
    await strict.send('alice', 1);
    await until(() => seen.length === 1);
    // It has none that is any good from now on.
    device.socket.io.engine.close();
    await until(() => device.errors.some(({ final }) => final));
    assert.equal(device.errors.at(-1).code, 'token_expired');
    assert.equal(tokens.length, 4);
    assert.equal(device.state, 'offline');
  } finally {
    await strict.stop();
  }
});

test('the package is there for CommonJS too', patient, async () => {
  const { createRequire } = await import('node:module');
  const common = createRequire(import.meta.url)('@herald/client');
  const user = someone();
  const device = common.connect(`http://127.0.0.1:${line.port}/notice`, { token: user, socket: QUICK });
  open.push(device);
  const seen = collect(device);
  await online(device);
  await send(user, 1, 1);
  await until(() => seen.length === 1);
});
