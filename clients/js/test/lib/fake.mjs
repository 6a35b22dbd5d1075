// Stands in for socket.io-client: a socket whose server is the test.

import { EventEmitter } from 'node:events';

/** All that were made, the latest one last. */
export const sockets = [];

class FakeSocket extends EventEmitter {
  io = Object.assign(new EventEmitter(), { reconnectionDelayMax: () => 20 });
  connected = false;
  active = false;
  /** Others use its connection, which so outlives it. */
  shared = false;
  /** What the client asked for: 'connect', 'disconnect', and what it emitted. */
  calls = [];
  #any = [];
  #options;

  constructor(url, options) {
    super();
    this.url = url;
    this.options = options;
    this.#options = options;
    this.connect();
  }

  // What the client uses of a Socket.

  onAny(listener) {
    this.#any.push(listener);
    return this;
  }

  connect() {
    this.calls.push('connect');
    this.active = true;
    return this;
  }

  disconnect() {
    this.calls.push('disconnect');
    this.active = false;
    if (this.connected) this.#leave('io client disconnect');
    if (!this.shared) this.io.emit('close', 'forced close');
    return this;
  }

  emit(event, ...args) {
    if (['connect', 'disconnect', 'connect_error'].includes(event)) return super.emit(event, ...args);
    this.acknowledge = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    this.calls.push([event, ...args]);
    return this;
  }

  // What the test does.

  /** The transport is there: asks for what the client says of itself. */
  handshake() {
    return new Promise((resolve) => this.#options.auth(resolve));
  }

  /** The server takes it in; `cursor` is the place that the session begins from. */
  async accept(cursor = 'c0') {
    const auth = await this.handshake();
    this.connected = true;
    super.emit('connect');
    this.deliver('herald:ready', { session: 's', cursor: auth.cursor ?? cursor });
    await settled();
    return auth;
  }

  deliver(event, ...args) {
    for (const listener of this.#any) listener(event, ...args);
  }

  /** The notice whose id and cursor end in `n`. */
  notice(n, ack) {
    const meta = { id: `n${n}`, cursor: `c${n}`, sentAt: n, replayed: false };
    this.deliver('notice', n, meta, ...(ack ? [ack] : []));
  }

  /** The transport is lost. */
  lose(reason = 'transport close') {
    this.io.emit('close', reason);
    this.#leave(reason);
  }

  refuse(message) {
    this.active = false;
    super.emit('connect_error', new Error(message));
  }

  #leave(reason) {
    this.connected = false;
    super.emit('disconnect', reason);
  }
}

export function io(url, options) {
  const socket = new FakeSocket(url, options);
  sockets.push(socket);
  return socket;
}

/** All that can run without anything new has run. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));
