// Handlers: in order, one at a time, each notice once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gate, settled, start } from './lib/with-fake.mjs';

test('the next notice waits until the handler of the one before has ended', async () => {
  const { herald, socket } = start();
  const { open, handler } = gate();
  herald.on('notice', handler);
  await socket.accept();
  for (const n of [1, 2, 3]) socket.notice(n);
  for (const n of [1, 2, 3]) {
    await settled();
    assert.deepEqual(open.map(({ payload }) => payload), [1, 2, 3].slice(0, n));
    open.at(-1).end();
  }
});

test('ready and gap stand in line with the notices, the states do not', async () => {
  const { herald, socket } = start();
  const { open, handler } = gate();
  const seen = [];
  herald.on('notice', handler);
  for (const name of ['ready', 'gap', 'online', 'offline']) herald.on(name, () => void seen.push(name));
  await socket.accept();
  socket.notice(1);
  await settled();
  socket.lose();
  await socket.accept();
  socket.deliver('herald:gap', { reason: 'expired', after: 'c0', floor: 'c5' });
  await settled();
  assert.deepEqual(seen, ['online', 'ready', 'offline', 'online']);
  open[0].end();
  await settled();
  assert.deepEqual(seen.slice(4), ['ready', 'gap']);
});

test('several handlers of one event run one after the other, and can be taken away', async () => {
  const { herald, socket } = start();
  const calls = [];
  const first = gate();
  herald.on('notice', async (n) => {
    calls.push(`a${n}`);
    await first.handler(n);
  });
  const off = herald.on('notice', (n) => calls.push(`b${n}`));
  await socket.accept();
  socket.notice(1);
  await settled();
  assert.deepEqual(calls, ['a1']);
  first.open[0].end();
  await settled();
  assert.deepEqual(calls, ['a1', 'b1']);
  off();
  socket.notice(2);
  await settled();
  first.open[1].end();
  await settled();
  assert.deepEqual(calls, ['a1', 'b1', 'a2']);
});

test('a handler that is added while another one is at work begins with the next notice', async () => {
  const { herald, socket } = start();
  const calls = [];
  herald.on('notice', (n) => {
    calls.push(`a${n}`);
    if (n === 1) herald.on('notice', (n) => calls.push(`b${n}`));
  });
  await socket.accept();
  for (const n of [1, 2]) socket.notice(n);
  await settled();
  assert.deepEqual(calls, ['a1', 'a2', 'b2']);
});

test('a notice under another name reaches the handlers of that name', async () => {
  const { herald, socket } = start();
  const seen = [];
  herald.on('order', (payload, meta) => seen.push([payload, meta.id]));
  await socket.accept();
  socket.deliver('order', { total: 5 }, { id: 'o1', cursor: 'c1', sentAt: 1, replayed: false });
  socket.deliver('order', { total: 6 });
  await settled();
  assert.deepEqual(seen, [[{ total: 5 }, 'o1']]);
});

test("a notice that is named like one of the client's own events is not mistaken for it", async () => {
  const { herald, socket, errors } = start();
  const seen = [];
  for (const name of ['gap', 'ready', 'online', 'error']) herald.on(name, (arg) => seen.push([name, arg]));
  await socket.accept();
  seen.length = 0;
  for (const name of ['gap', 'ready', 'online', 'error', 'herald:later']) {
    socket.deliver(name, 'a payload', { id: name, cursor: 'c1', sentAt: 1, replayed: false });
  }
  await settled();
  assert.deepEqual([seen, errors], [[], []]);
});

test('what comes again is dropped, also while its handler is still at work', async () => {
  const { herald, socket } = start();
  const { open, handler } = gate();
  herald.on('notice', handler);
  await socket.accept();
  for (const n of [1, 2, 3]) socket.notice(n);
  await settled();
  socket.lose();
  // Nothing has been handled: all of it is sent again.
  assert.equal((await socket.accept()).cursor, 'c0');
  for (const n of [1, 2, 3, 4]) socket.notice(n);
  for (let n = 0; n < 4; n++) {
    await settled();
    open[n].end();
  }
  await settled();
  assert.deepEqual(open.map(({ payload }) => payload), [1, 2, 3, 4]);
  socket.lose();
  assert.equal((await socket.accept()).cursor, 'c4');
});

test('ids are remembered up to a bound, the oldest are forgotten first', async () => {
  const { herald, socket } = start({ maxSeen: 3 });
  const seen = [];
  herald.on('notice', (n) => seen.push(n));
  await socket.accept();
  // 1 is refreshed by coming again, so 2 is the oldest when 4 comes.
  for (const n of [1, 2, 3, 1, 4, 1, 3, 2]) socket.notice(n);
  await settled();
  assert.deepEqual(seen, [1, 2, 3, 4, 2]);
});

test('a notice whose handler throws is told, is not acknowledged, and comes again', async () => {
  const { herald, socket, errors } = start();
  const boom = new Error('boom');
  const [seen, acks] = [[], []];
  let broken = true;
  herald.on('notice', (n) => {
    seen.push(n);
    if (broken && n === 2) throw boom;
  });
  herald.on('notice', (n) => seen.push(`second ${n}`));
  await socket.accept();
  for (const n of [1, 2, 3]) socket.notice(n, () => acks.push(n));
  await settled();
  assert.deepEqual(acks, [1, 3]);
  assert.equal(errors.length, 1);
  const [{ code, message, cause, event, args }] = errors;
  assert.deepEqual([code, message, cause, event, args[1].id], ['handler', 'boom', boom, 'notice', 'n2']);
  assert.deepEqual(seen, [1, 'second 1', 2, 'second 2', 3, 'second 3']);

  seen.length = 0;
  broken = false;
  socket.lose();
  assert.equal((await socket.accept()).cursor, 'c1', 'the place is the one before the notice');
  for (const n of [2, 3]) socket.notice(n, () => acks.push(n));
  await settled();
  assert.deepEqual(seen, [2, 'second 2']);
  assert.deepEqual(acks, [1, 3, 2, 3]);
  socket.lose();
  assert.equal((await socket.accept()).cursor, 'c3');
});

test('a handler that rejects is one that throws', async () => {
  const { herald, socket, errors } = start();
  herald.on('notice', async () => {
    throw Symbol('no error');
  });
  await socket.accept();
  socket.notice(1);
  socket.notice(2);
  await settled();
  assert.deepEqual(errors.map(({ code, message }) => [code, message]), Array(2).fill(['handler', 'Symbol(no error)']));
});

test('a gap whose handler throws is told again by the next connection', async () => {
  const { herald, socket, errors } = start({ cursor: 'old' });
  let broken = true;
  herald.on('gap', () => {
    if (broken) throw new Error('could not load');
  });
  herald.on('notice', () => {});
  const connection = async () => {
    const { cursor } = await socket.accept();
    socket.deliver('herald:gap', { reason: 'expired', after: 'old', floor: 'c1' });
    socket.notice(2);
    await settled();
    socket.lose();
    return cursor;
  };
  assert.equal(await connection(), 'old');
  assert.equal(errors.length, 1);
  broken = false;
  assert.equal(await connection(), 'old');
  assert.equal(await connection(), 'c2');
});

test('after a gap the place is the one that what follows begins after', async () => {
  const { socket } = start({ cursor: 'old' });
  await socket.accept();
  socket.deliver('herald:gap', { reason: 'reset', after: 'old', floor: 'c1' });
  await settled();
  socket.lose();
  assert.equal((await socket.accept()).cursor, 'c1');
});

test('what no handler wants moves the place, and is not acknowledged', async () => {
  const { herald, socket } = start();
  let acknowledged = 0;
  await socket.accept();
  socket.notice(1, () => acknowledged++);
  await settled();
  socket.lose();
  assert.equal((await socket.accept()).cursor, 'c1');
  const seen = [];
  herald.on('notice', (n) => seen.push(n));
  socket.notice(1, () => acknowledged++);
  await settled();
  assert.deepEqual([seen, acknowledged], [[1], 1]);
});

test('an acknowledgement is not sent on another connection than its own', async () => {
  const { herald, socket } = start();
  const { open, handler } = gate();
  const acks = [];
  herald.on('notice', handler);
  await socket.accept();
  socket.notice(1, () => acks.push('first'));
  await settled();
  socket.lose();
  await socket.accept();
  socket.notice(1, () => acks.push('second'));
  open[0].end();
  await settled();
  assert.deepEqual(acks, ['second']);
});

test('a notice before the server is ready is handled, and does not move the place', async () => {
  const { herald, socket } = start({ cursor: 'c0' });
  const seen = [];
  herald.on('notice', (n) => seen.push(n));
  await socket.handshake();
  socket.connected = true;
  socket.notice(7);
  await settled();
  assert.deepEqual(seen, [7]);
  socket.lose();
  assert.equal((await socket.accept()).cursor, 'c0');
});

test('a broadcast, which has no cursor, is handled once and does not move the place', async () => {
  const { herald, socket } = start();
  const seen = [];
  herald.on('notice', (n) => seen.push(n));
  await socket.accept();
  socket.notice(1);
  for (let time = 0; time < 2; time++) {
    socket.deliver('notice', 'to all', { id: 'b1', sentAt: 1, replayed: false });
  }
  await settled();
  assert.deepEqual(seen, [1, 'to all']);
  socket.lose();
  assert.equal((await socket.accept()).cursor, 'c1');
});

test('a packet of nonsense holds up nobody', async () => {
  const { herald, socket } = start();
  const seen = [];
  herald.on('notice', (n) => seen.push(n));
  await socket.accept();
  for (const event of ['herald:ready', 'herald:gap', 'herald:reconnect', 'notice']) socket.deliver(event);
  socket.deliver('notice', 0, null, 'no function');
  socket.notice(1, 'no function');
  await settled();
  assert.deepEqual(seen, [1]);
});

test('with too many waiting the client leaves, and comes back to its place when all are handled', async () => {
  const { herald, socket } = start({ maxWaiting: 3 });
  const { open, handler } = gate();
  const states = [];
  herald.on('notice', handler);
  herald.on('offline', (...args) => states.push(args));
  await socket.accept();
  for (let n = 1; n <= 9; n++) socket.notice(n);
  await settled();
  assert.deepEqual(states, [['overflow', true]]);
  assert.equal(herald.state, 'offline');
  assert.deepEqual(socket.calls, ['connect', 'disconnect']);
  for (let n = 0; n < 4; n++) {
    assert.deepEqual(socket.calls, ['connect', 'disconnect'], 'not before all are handled');
    open[n].end();
    await settled();
  }
  while (socket.calls.length < 3) await settled();
  assert.deepEqual(open.map(({ payload }) => payload), [1, 2, 3, 4]);
  assert.deepEqual(socket.calls, ['connect', 'disconnect', 'connect']);
  assert.equal((await socket.accept()).cursor, 'c4');
  socket.notice(5);
  await settled();
  assert.equal(open.length, 5);
});

test('after close nothing more is handled, and what was at work is kept', async () => {
  const kept = new Map();
  const storage = { get: (key) => kept.get(key), set: (key, value) => void kept.set(key, value) };
  const { herald, socket } = start({ storage, key: 'k' });
  const { open, handler } = gate();
  herald.on('notice', handler);
  await socket.accept();
  for (const n of [1, 2]) socket.notice(n);
  await settled();
  herald.close();
  open[0].end();
  await settled();
  assert.equal(open.length, 1);
  assert.deepEqual(JSON.parse(kept.get('k')), ['c1', ['n1']]);
  assert.deepEqual(socket.calls, ['connect', 'disconnect']);
});
