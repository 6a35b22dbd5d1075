// Against a stock Socket.IO server, which says what the real one says only sometimes.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { afterEach, test } from 'node:test';
import { connect } from '@herald/client';
import { Server } from 'socket.io';
import { io } from 'socket.io-client';
import { until } from './lib/until.mjs';

const patient = { timeout: 30_000 };
// No upgrades: Socket.IO waits a whole heartbeat for one that breaks in the middle.
const QUICK = { transports: ['websocket'], reconnectionDelay: 20, reconnectionDelayMax: 100 };
const ends = [];

afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

/** Sessions appear in `sockets`; the first `busy` requests are answered 503. */
async function stock({ busy = 0, admit = () => {} } = {}) {
  const http = createServer();
  const io = new Server(http, { path: '/notice', cleanupEmptyChildNamespaces: true });
  const serve = http.listeners('request')[0];
  http.removeAllListeners('request').on('request', (request, response) => {
    if (busy-- > 0) response.writeHead(503, { 'retry-after': '1' }).end();
    else serve.call(http, request, response);
  });
  const sockets = [];
  io.of('/notice')
    .use((socket, next) => {
      const code = admit(socket.handshake.auth);
      next(code && new Error(`Authentication error: ${code}`));
    })
    .on('connection', (socket) => {
      socket.emit('herald:ready', { session: socket.id, cursor: socket.handshake.auth.cursor ?? 'c0' });
      sockets.push(socket);
    });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  ends.push(() => io.close());
  return { sockets, url: `http://127.0.0.1:${http.address().port}/notice` };
}

function client(url, options = {}) {
  const herald = connect(url, { token: 'alice', socket: QUICK, ...options });
  ends.push(() => herald.close());
  herald.errors = [];
  herald.on('error', (error) => herald.errors.push(error));
  return herald;
}

/** A socket of another namespace, whose connection a client on this server then shares. */
async function neighbour(url) {
  const socket = io(new URL('/', url).href, { path: '/notice', ...QUICK });
  ends.push(() => socket.disconnect());
  await until(() => socket.connected);
  return socket;
}

const meta = (n) => ({ id: `n${n}`, cursor: `c${n}`, sentAt: n, replayed: false });

test('an acknowledgement is sent when the handler has ended, and not when it threw', patient, async () => {
  const { url, sockets } = await stock();
  const herald = client(url);
  const events = [];
  const ends = [];
  herald.on('notice', async (n) => {
    if (n === 2) throw new Error('boom');
    await new Promise((resolve) => ends.push(resolve));
    events.push(`handled ${n}`);
  });
  await until(() => sockets.length);
  const emit = (n, patience) =>
    sockets[0].timeout(patience).emitWithAck('notice', n, meta(n)).then(
      () => events.push(`acknowledged ${n}`),
      () => events.push(`not acknowledged ${n}`),
    );
  const answers = [emit(1, 5_000), emit(2, 500), emit(3, 5_000)];
  await until(() => ends.length === 1);
  ends[0]();
  await answers[0];
  await until(() => ends.length === 2);
  ends[1]();
  await answers[2];
  await answers[1];
  assert.deepEqual(events, ['handled 1', 'acknowledged 1', 'handled 3', 'acknowledged 3', 'not acknowledged 2']);
});

test('what comes again after the connection was cut is acknowledged there, and handled once', patient, async () => {
  const { url, sockets } = await stock();
  const herald = client(url);
  const seen = [];
  let end;
  herald.on('notice', async (n) => {
    seen.push(n);
    await new Promise((resolve) => (end = resolve));
  });
  await until(() => sockets.length);
  let stale = 0;
  sockets[0].emit('notice', 1, meta(1), () => stale++);
  await until(() => end);
  sockets[0].conn.close();
  await until(() => sockets.length === 2);
  assert.equal(sockets[1].handshake.auth.cursor, 'c0');
  const acknowledged = sockets[1].timeout(5_000).emitWithAck('notice', 1, meta(1));
  end();
  await acknowledged;
  assert.deepEqual([seen, stale], [[1], 0]);
});

test('a server that is busy is asked until it is not', patient, async () => {
  const { url } = await stock({ busy: 3 });
  const herald = client(url, { socket: { ...QUICK, transports: ['polling'] } });
  await until(() => herald.state === 'online');
  assert.deepEqual(herald.errors.map(({ code, final }) => [code, final]), Array(3).fill(['connection', false]));
});

test('a session that the server ends is over', patient, async () => {
  const { url, sockets } = await stock();
  const herald = client(url);
  const told = [];
  herald.on('offline', (...args) => void told.push(args));
  await until(() => sockets.length);
  sockets[0].disconnect();
  await until(() => told.length);
  assert.deepEqual(told, [['io server disconnect', false]]);
});

test('a new token is handed in without reconnecting', patient, async () => {
  const { url, sockets } = await stock();
  let n = 0;
  client(url, { token: () => `token ${++n}` });
  await until(() => sockets.length);
  const handed = new Promise((resolve) => sockets[0].on('herald:token', resolve));
  sockets[0].emit('herald:token-expiring', { inMs: 1_000 });
  assert.deepEqual(await handed, { token: 'token 2' });
  assert.equal(sockets.length, 1);
});

test('a token that is refused twice ends it, until there is another', patient, async () => {
  let asked = 0;
  const { url, sockets } = await stock({ admit: ({ token }) => (token === 'good' ? undefined : 'token_expired') });
  const herald = client(url, { token: () => (++asked < 3 ? 'bad' : 'good') });
  await until(() => herald.errors.some(({ final }) => final));
  assert.deepEqual(herald.errors.map(({ code, final }) => [code, final]), [
    ['token_expired', false],
    ['token_expired', true],
  ]);
  assert.equal(asked, 2);
  herald.renew('any');
  await until(() => sockets.length === 1);
});

test('on a connection that is shared, refusals and failures concern the client alone', patient, async () => {
  const { url, sockets } = await stock({ admit: ({ token }) => (token === 'good' ? undefined : 'token_expired') });
  const other = await neighbour(url);
  const id = other.id;
  const answers = ['bad', new Error('no network'), 'good', 'good'];
  const herald = client(url, {
    maxWaiting: 1,
    token: async () => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  assert.equal(herald.socket.io, other.io);
  const seen = [];
  let free;
  const held = new Promise((resolve) => (free = resolve));
  herald.on('notice', async (n) => {
    await held;
    seen.push(n);
  });
  // The queue is empty when it has told that it is ready.
  let ready = 0;
  herald.on('ready', () => void ready++);
  await until(() => ready === 1);
  assert.deepEqual(herald.errors.map(({ code }) => code), ['token_expired', 'token']);
  for (let n = 1; n <= 5; n++) sockets[0].emit('notice', n, meta(n));
  await until(() => herald.state === 'offline');
  free();
  await until(() => sockets.length === 2);
  assert.equal(sockets[1].handshake.auth.cursor, 'c2');
  assert.deepEqual(seen, [1, 2]);
  assert.ok(other.connected && other.id === id);
  assert.deepEqual(answers, []);
});

test('a token function that fails for a while delays the client, and does not stop it', patient, async () => {
  const { url, sockets } = await stock();
  let asked = 0;
  const herald = client(url, {
    token: async () => {
      if (++asked < 3) throw new Error('no network');
      return 'alice';
    },
  });
  await until(() => sockets.length === 1);
  assert.deepEqual(herald.errors.map(({ code }) => code), ['token', 'token']);
  assert.equal(sockets[0].handshake.auth.token, 'alice');
});
