import { io, type Socket } from 'socket.io-client';
import type { Herald, HeraldError, Options } from './index.js';
import { line, type Job } from './line.js';
import { listeners } from './listeners.js';
import { place } from './place.js';

/** The client's own events and the server's, which notices cannot be named after. */
const OWN = /^(ready|gap|reconnecting|tokenExpiring|(on|off)line|error|herald:.*)$/;

/** What one connection brings. */
interface Stream {
  /** Its `herald:ready` has come. */
  online?: boolean;
  /**
   * It began at the kept place, and everything of it so far was handled: that place may move on.
   * After a handler threw, what follows is handled too, but the place stays, and the next
   * connection begins there again.
   */
  ok?: boolean | undefined;
}

export function open(url: string, options: Options = {}): Herald {
  const { token } = options;
  const asks = typeof token === 'function';
  let fixed = token as string | undefined;
  let stream: Stream = {};
  let closed = false;
  let overflowed = false;
  let askedAgain = false;
  let attempt = 0;
  let handedIn: string | undefined;

  const add = line(options.maxWaiting ?? 1000, () => {
    if (overflowed) comeBack();
    overflowed = false;
  });
  const { on, has, run } = listeners((cause, event, args) => fail('handler', cause, { event, args }));
  const at = place(options, options.key ?? `herald:${url}`, (cause) => fail('storage', cause));

  function fail(code: string, cause: any, more?: Partial<HeraldError>): void {
    const error = Object.assign(new Error(cause?.message ?? String(cause)), { code, cause }, more);
    // A handler of errors that throws is not told of that.
    if (has('error') && error.event !== 'error') void run('error', error);
    else if (code !== 'connection') console.error(error);
  }

  const noToken = (cause: unknown) => fail('token', cause);
  const ask = async () => (asks ? token() : fixed);

  /**
   * Never in this turn of the event loop: packets of the last connection may be on their way
   * through it. A socket that is connecting already must not be told to a second time.
   */
  const comeBack = (inMs?: number) => setTimeout(() => closed || socket.active || socket.connect(), inMs);

  function renew(next: string | undefined): void {
    fixed = next;
    // A server that does not want it goes on with the old one, until that ends.
    if (socket.connected) socket.emit('herald:token', { token: next }, ({ error }: any) => error && fail(error, error));
    else comeBack();
  }

  function enqueue(job: Job): void {
    if (overflowed || add(async () => closed || job())) return;
    overflowed = true;
    socket.disconnect();
  }

  const socket: Socket = io(url, {
    ...options.socket,
    path: options.path ?? '/notice',
    async auth(give: (auth: object) => void): Promise<void> {
      const mine = ++attempt;
      try {
        await at.loaded;
        const given = await ask();
        // Too late for a connection that is gone: on the next one it would be a second request.
        if (mine !== attempt || !socket.active) return;
        handedIn = at.cursor();
        give({ token: given, cursor: handedIn, device: options.device });
      } catch (cause) {
        noToken(cause);
        if (mine !== attempt) return;
        socket.disconnect();
        comeBack(socket.io.reconnectionDelayMax()! * (1 + Math.random()));
      }
    },
  });

  socket.onAny((event: string, info: any, meta: any, ack?: () => void) => {
    const of = stream;
    if (event === 'herald:ready') {
      // Who handed in a cursor stays there until the gap, if there is one, is handled.
      const fresh = !handedIn;
      askedAgain = false;
      of.online = true;
      void run('online');
      enqueue(async () => {
        of.ok = true;
        if (fresh) at.keep(info.cursor);
        await run('ready', info);
      });
    } else if (event === 'herald:gap') {
      enqueue(async () => {
        of.ok = (await run('gap', info)) && of.ok;
        at.keep(of.ok && info.floor);
      });
    } else if (event === 'herald:reconnect') {
      void run('reconnecting', info);
    } else if (event === 'herald:token-expiring') {
      if (asks && !has('tokenExpiring')) void ask().then(renew, noToken);
      else void run('tokenExpiring', info, renew);
    } else if (meta?.id) {
      enqueue(async () => {
        const { id, cursor } = meta;
        let handled = at.seen.has(id);
        if (!handled && has(event) && !OWN.test(event)) {
          handled = await run(event, info, meta);
          of.ok = handled && of.ok;
        }
        at.keep(of.ok && cursor, handled && id);
        // Acknowledged on another connection it could stand for another notice.
        if (handled && of === stream) ack?.();
      });
    }
  });

  socket.on('disconnect', (reason) => {
    const returns = overflowed || socket.active;
    const told = stream.online || !returns;
    stream = {};
    if (told) void run('offline', overflowed ? 'overflow' : reason, returns);
  });

  socket.on('connect_error', (cause) => {
    const refusal = /^Authentication error: (\S+)/.exec(cause.message);
    const returns = refusal ? asks && !askedAgain : socket.active;
    if (refusal && returns) {
      askedAgain = true;
      comeBack();
    }
    fail(refusal?.[1] ?? (returns ? 'connection' : 'refused'), cause, { final: !returns });
  });

  socket.io.on('close', () => attempt++);

  return {
    on,
    get state() {
      return stream.online ? 'online' : 'offline';
    },
    socket,
    renew,
    close() {
      closed = true;
      socket.disconnect();
    },
  };
}
