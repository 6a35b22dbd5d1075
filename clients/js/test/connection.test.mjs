// Who the client is, whether it is connected, and what it does when it is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, settled, sockets, start } from './lib/with-fake.mjs';
import { until } from './lib/until.mjs';

/** Timers of one length end in the order in which they were set. */
const timers = () => new Promise((resolve) => setTimeout(resolve));

test('options reach socket.io-client', () => {
  const { socket } = start({ path: '/x', socket: { transports: ['websocket'], path: '/y' } });
  assert.equal(socket.url, 'http://fake/notice');
  assert.equal(socket.options.path, '/x');
  assert.deepEqual(socket.options.transports, ['websocket']);
  assert.equal(start().socket.options.path, '/notice');
});

test('the state is online from ready to the loss of the connection', async () => {
  const { herald, socket } = start();
  const told = [];
  herald.on('online', () => told.push([herald.state]));
  herald.on('offline', (...args) => told.push([herald.state, ...args]));
  await socket.handshake();
  assert.equal(herald.state, 'offline');
  socket.lose();
  assert.deepEqual(told, [], 'it was not online');
  await socket.accept();
  socket.lose('ping timeout');
  await socket.accept();
  socket.active = false;
  socket.lose('io server disconnect');
  assert.deepEqual(told, [
    ['online'],
    ['offline', 'ping timeout', true],
    ['online'],
    ['offline', 'io server disconnect', false],
  ]);
});

test('a token function is asked at each connect', async () => {
  let n = 0;
  const { socket } = start({ token: async () => `token ${++n}` });
  assert.equal((await socket.accept()).token, 'token 1');
  socket.lose();
  assert.equal((await socket.accept()).token, 'token 2');
});

test('a refused token is asked for once more, then the client stops and says so', async () => {
  const { herald, socket, errors } = start({ token: () => 'stale' });
  for (let round = 0; round < 2; round++) {
    socket.calls.length = 0;
    await socket.handshake();
    socket.refuse('Authentication error: token_expired');
    await until(() => socket.calls.length === 1);
    await socket.handshake();
    socket.refuse('Authentication error: token_expired');
    await settled();
    assert.deepEqual(errors.splice(0).map(({ code, final }) => [code, final]), [
      ['token_expired', false],
      ['token_expired', true],
    ]);
    assert.deepEqual(socket.calls, ['connect']);
    // With a token that works the count begins anew.
    herald.renew('ignored: there is a function');
    await until(() => socket.calls.length === 2);
    assert.equal((await socket.accept()).token, 'stale');
    socket.lose();
  }
});

test('a refused text is not tried again, until there is another one', async () => {
  const { herald, socket, errors } = start({ token: 'bad' });
  await socket.handshake();
  socket.refuse('Authentication error: token_signature');
  assert.deepEqual(errors.map(({ code, message, final }) => [code, message, final]), [
    ['token_signature', 'Authentication error: token_signature', true],
  ]);
  herald.renew('good');
  await until(() => socket.calls.length === 2);
  assert.equal((await socket.accept()).token, 'good');
});

test('another refusal is final, a lost connection is not', async () => {
  const { socket, errors } = start({ token: () => 'alice' });
  socket.emit('connect_error', new Error('xhr poll error'));
  socket.refuse('Handshake error: device must be a text');
  await settled();
  assert.deepEqual(errors.map(({ code, final }) => [code, final]), [
    ['connection', false],
    ['refused', true],
  ]);
  assert.deepEqual(socket.calls, ['connect']);
});

test('a token function that fails is told, and asked again after a while', async () => {
  let works = false;
  const { socket, errors } = start({
    token: () => {
      if (!works) throw new Error('no network');
      return 'alice';
    },
  });
  void socket.handshake();
  await until(() => socket.calls.length === 3);
  assert.deepEqual(errors.map(({ code, message, final }) => [code, message, !!final]), [['token', 'no network', false]]);
  assert.deepEqual(socket.calls, ['connect', 'disconnect', 'connect']);
  works = true;
  assert.equal((await socket.accept()).token, 'alice');
});

test('a token that comes after its connection was lost is not sent on the next one', async () => {
  const asked = [];
  const { socket } = start({ token: () => new Promise((resolve) => asked.push(resolve)) });
  const given = [];
  void socket.handshake().then((auth) => given.push(auth.token));
  await settled();
  socket.lose();
  asked[0]('too late');
  await settled();
  assert.deepEqual(given, []);
  void socket.handshake().then((auth) => given.push(auth.token));
  await settled();
  asked[1]('in time');
  await settled();
  assert.deepEqual(given, ['in time']);
});

test('a token function that fails after its connection was lost leaves the next one alone', async () => {
  const asked = [];
  const { socket, errors } = start({ token: () => new Promise((resolve, reject) => asked.push({ resolve, reject })) });
  void socket.handshake();
  await settled();
  socket.lose();
  const accepted = socket.accept();
  await settled();
  asked[0].reject(new Error('too late'));
  asked[1].resolve('in time');
  await accepted;
  assert.deepEqual(errors.map(({ code }) => code), ['token']);
  assert.deepEqual(socket.calls, ['connect']);
});

for (const shared of [false, true]) {
  test(`a token that comes after close is not sent, ${shared ? 'on a shared connection too' : 'on its own connection'}`, async () => {
    let answer;
    const { herald, socket } = start({ token: () => new Promise((resolve) => (answer = resolve)) });
    socket.shared = shared;
    const given = [];
    void socket.handshake().then((auth) => given.push(auth));
    await settled();
    herald.close();
    answer('too late');
    await settled();
    assert.deepEqual(given, []);
  });
}

test('a new token while the client is connecting is for the next connection', async () => {
  const { herald, socket } = start({ token: 'old' });
  await socket.handshake();
  herald.renew('new');
  await timers();
  assert.deepEqual(socket.calls, ['connect']);
  socket.lose();
  assert.equal((await socket.accept()).token, 'new');
});

test('when the token ends a handler can hand in a new one', async () => {
  const { herald, socket } = start({ token: 'old' });
  const told = [];
  herald.on('tokenExpiring', (info, renew) => {
    told.push(info);
    renew('new');
  });
  await socket.accept();
  socket.deliver('herald:token-expiring', { inMs: 30_000 });
  assert.deepEqual(told, [{ inMs: 30_000 }]);
  assert.deepEqual(socket.calls, ['connect', ['herald:token', { token: 'new' }]]);
  socket.lose();
  assert.equal((await socket.accept()).token, 'new');
});

test('a new token that the server does not take is told, and the client goes on', async () => {
  const { herald, socket, errors } = start({ token: 'old' });
  await socket.accept();
  herald.renew('new');
  socket.acknowledge({ ok: true, endsInMs: 60_000 });
  assert.deepEqual(errors, []);
  herald.renew('of somebody else');
  socket.acknowledge({ error: 'token_other_user' });
  assert.deepEqual(errors.map(({ code, final }) => [code, !!final]), [['token_other_user', false]]);
});

test('a handler stands in for the token function when the token ends', async () => {
  let asked = 0;
  const { herald, socket } = start({ token: () => `token ${++asked}` });
  herald.on('tokenExpiring', () => {});
  await socket.accept();
  socket.deliver('herald:token-expiring', { inMs: 30_000 });
  await settled();
  assert.equal(asked, 1);
});

test('when the token ends and nobody listens, the token function is asked', async () => {
  let token = () => 'first';
  const { socket, errors } = start({ token: () => token() });
  await socket.accept();
  token = async () => 'second';
  socket.deliver('herald:token-expiring', { inMs: 30_000 });
  await settled();
  assert.deepEqual(socket.calls, ['connect', ['herald:token', { token: 'second' }]]);
  token = () => {
    throw new Error('no network');
  };
  socket.deliver('herald:token-expiring', { inMs: 15_000 });
  await settled();
  assert.deepEqual(errors.map(({ code }) => code), ['token']);
});

test('a client that is to leave is told', async () => {
  const { herald, socket } = start();
  const told = [];
  herald.on('reconnecting', (info) => told.push(info));
  await socket.accept();
  socket.deliver('herald:reconnect', { withinMs: 5_000 });
  assert.deepEqual(told, [{ withinMs: 5_000 }]);
});

test('errors that nobody listens to go to the console, but not those of the network', async (t) => {
  const log = t.mock.method(console, 'error', () => {});
  const herald = connect('http://fake/notice');
  const socket = sockets.at(-1);
  herald.on('notice', () => {
    throw new Error('boom');
  });
  await socket.accept();
  socket.emit('connect_error', new Error('websocket error'));
  socket.notice(1);
  await settled();
  assert.deepEqual(log.mock.calls.map(({ arguments: [error] }) => error.message), ['boom']);
  // A handler of errors that throws does not call itself.
  herald.on('error', () => {
    throw new Error('again');
  });
  socket.notice(2);
  await settled();
  assert.deepEqual(log.mock.calls.map(({ arguments: [error] }) => error.message), ['boom', 'again']);
});

test('closed is closed', async () => {
  const { herald, socket } = start({ token: () => 'alice' });
  await socket.handshake();
  socket.refuse('Authentication error: token_expired');
  herald.close();
  herald.renew('new');
  await timers();
  assert.deepEqual(socket.calls, ['connect', 'disconnect']);
});
