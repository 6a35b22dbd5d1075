// Where the place is kept.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { settled, start } from './lib/with-fake.mjs';

afterEach(() => {
  delete globalThis.localStorage;
});

function browser() {
  const kept = new Map();
  globalThis.localStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
  };
  return kept;
}

test('without a place the client says none, and begins at the one that it is told', async () => {
  const { socket } = start();
  assert.deepEqual(await socket.accept('c0'), { token: 'alice', cursor: undefined, device: undefined });
  socket.lose();
  assert.deepEqual(await socket.accept(), { token: 'alice', cursor: 'c0', device: undefined });
});

test('the first cursor can be given', async () => {
  const { socket } = start({ cursor: 'start', device: 'phone' });
  assert.deepEqual(await socket.accept(), { token: 'alice', cursor: 'start', device: 'phone' });
});

test('in localStorage the place and the last ids outlive the page', async () => {
  const kept = browser();
  const page = start({ storage: 'local', maxStored: 2 });
  page.herald.on('notice', () => {});
  await page.socket.accept();
  for (const n of [1, 2, 3]) page.socket.notice(n);
  await settled();
  assert.deepEqual([...kept], [['herald:http://fake/notice', '["c3",["n2","n3"]]']]);
  page.herald.close();

  const next = start({ storage: 'local', cursor: 'start' });
  const seen = [];
  next.herald.on('notice', (n) => seen.push(n));
  assert.equal((await next.socket.accept()).cursor, 'c3');
  for (const n of [3, 1, 4]) next.socket.notice(n);
  await settled();
  assert.deepEqual(seen, [1, 4]);
});

test('a page that dies in a handler gets that notice again', async () => {
  const kept = browser();
  const page = start({ storage: 'local', key: 'alice' });
  page.herald.on('notice', (n) => (n === 2 ? new Promise(() => {}) : undefined));
  await page.socket.accept();
  for (const n of [1, 2]) page.socket.notice(n);
  await settled();
  assert.equal(kept.get('alice'), '["c1",["n1"]]');

  const next = start({ storage: 'local', key: 'alice' });
  assert.equal((await next.socket.accept()).cursor, 'c1');
});

test('ids are kept in the storage only as far as asked', async () => {
  const kept = browser();
  const { herald, socket } = start({ storage: 'local', key: 'k', maxStored: 0 });
  herald.on('notice', () => {});
  await socket.accept();
  socket.notice(1);
  await settled();
  assert.equal(kept.get('k'), '["c1",[]]');
});

test('a storage that throws hinders nothing, and is told once until it works again', async () => {
  let works = false;
  const kept = [];
  const storage = {
    get() {
      throw new Error('not allowed');
    },
    set(key, value) {
      if (!works) throw new Error('full');
      kept.push(value);
    },
  };
  const { herald, socket, errors } = start({ storage });
  const seen = [];
  herald.on('notice', (n) => seen.push(n));
  await socket.accept();
  for (const n of [1, 2]) socket.notice(n);
  await settled();
  const told = () => errors.splice(0).map(({ code, message }) => `${code}: ${message}`);
  assert.deepEqual([seen, told()], [[1, 2], ['storage: not allowed', 'storage: full']]);
  works = true;
  socket.notice(3);
  await settled();
  works = false;
  socket.notice(4);
  await settled();
  assert.deepEqual([kept, told()], [['["c3",["n1","n2","n3"]]'], ['storage: full']]);
  socket.lose();
  assert.equal((await socket.accept()).cursor, 'c4', 'the place is known all the same');
});

test('where there is no localStorage, memory serves', async () => {
  const { herald, socket, errors } = start({ storage: 'local' });
  herald.on('notice', () => {});
  await socket.accept();
  socket.notice(1);
  await settled();
  assert.deepEqual(errors.map(({ code }) => code), ['storage', 'storage']);
  socket.lose();
  assert.equal((await socket.accept()).cursor, 'c1');
});

test('rubbish in the storage is told and written over', async () => {
  for (const rubbish of ['{', '5', '{"a":1}', '["c1",5]']) {
    const kept = browser().set('k', rubbish);
    const { herald, socket, errors } = start({ storage: 'local', key: 'k' });
    herald.on('notice', () => {});
    await socket.accept();
    socket.notice(1);
    await settled();
    assert.deepEqual(errors.map(({ code }) => code), ['storage'], rubbish);
    assert.equal(kept.get('k'), '["c1",["n1"]]');
  }
});

test('a storage that takes its time is read before the client connects, and then gets the latest place', async () => {
  const calls = [];
  let loaded;
  const storage = {
    get: () => new Promise((resolve) => (loaded = resolve)),
    set: (key, value) => new Promise((resolve) => calls.push({ value: JSON.parse(value)[0], done: resolve })),
  };
  const { herald, socket } = start({ storage });
  herald.on('notice', () => {});
  const accepted = socket.accept();
  await settled();
  assert.equal(socket.connected, false);
  loaded('["c0",["n1"]]');
  assert.equal((await accepted).cursor, 'c0');
  for (const n of [1, 2, 3]) socket.notice(n);
  await settled();
  assert.deepEqual(calls.map(({ value }) => value), ['c1']);
  calls[0].done();
  await settled();
  assert.deepEqual(calls.map(({ value }) => value), ['c1', 'c3']);
});
