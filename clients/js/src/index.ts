import type { ManagerOptions, Socket, SocketOptions } from 'socket.io-client';
import { open } from './client.js';

/** What Herald says of a notice: the second argument of its handlers. */
export interface Meta {
  /** The notice's id. */
  id: string;
  /** The session's place in the user's inbox after this notice: opaque. A broadcast has none. */
  cursor?: string;
  /** When the notice was accepted or, if no inbox keeps it, sent: milliseconds since 1970. */
  sentAt: number;
  /** Whether it was read from the inbox because this client connected. */
  replayed: boolean;
}

/** `herald:ready`: the server has registered the session. */
export interface Ready {
  /** The session's id, new with each connection. */
  session: string;
  /** The place that the session begins from. */
  cursor: string;
}

/** `herald:gap`: something was removed before this client got it; all that is kept follows. */
export interface Gap {
  /**
   * `expired`: removed by a limit. `reset`: the server lost its data or its last part.
   * `malformed`: what was handed in is no cursor of this user. More may come.
   */
  reason: 'expired' | 'reset' | 'malformed' | (string & {});
  /** The place that could not be continued from; null if it was not readable. */
  after: string | null;
  /** The place that what follows begins after. */
  floor: string;
}

/** What went wrong: handed to the listeners of `error`. */
export interface HeraldError extends Error {
  /**
   * `connection`: no connection for now; Socket.IO goes on trying (an HTTP 503 is one of these).
   * `handler`: a handler threw. `storage`: the place could not be read or kept.
   * `token`: the token function failed; it is asked again after a while.
   * `refused`: the server does not want this client, for another reason than its token.
   * Anything else is the code of an `Authentication error: <code>`, such as `token_expired`.
   */
  code: 'connection' | 'handler' | 'storage' | 'token' | 'refused' | (string & {});
  /** Whether the client has stopped, and does not come back by itself. */
  final?: boolean;
  /** What was thrown. */
  cause: unknown;
  /** With `handler`: the event whose handler threw. */
  event?: string;
  /** With `handler`: what it was given; of a notice, payload and meta. */
  args?: unknown[];
}

/** Handles a notice. The next one waits until it has returned, and its promise is fulfilled. */
export type NoticeHandler<Payload> = (payload: Payload, meta: Meta) => unknown;

/**
 * The client's own events. `ready` and `gap` stand in line with the notices: their handlers run
 * when those of all earlier notices have ended, and the next notice waits for them.
 */
export interface Events {
  /** The session is registered; what comes from now on belongs to it. */
  ready: (ready: Ready) => unknown;
  /** Something was missed for good. If a handler throws, the next connection tells it again. */
  gap: (gap: Gap) => unknown;
  /** The server will close the connection within that time; the client comes back by itself. */
  reconnecting: (info: { withinMs: number }) => unknown;
  /**
   * The token ends in that time; `renew` hands in a new one without reconnecting. Without a
   * handler the token function, if there is one, is asked. A token that the server does not take
   * is an error with its code, and the session goes on until the old one ends.
   */
  tokenExpiring: (info: { inMs: number }, renew: (token: string) => void) => unknown;
  /** The session is registered. */
  online: () => unknown;
  /**
   * The connection is lost. `reason` is Socket.IO's, or `overflow`: too many notices wait for
   * their handlers. `returns` says whether the client comes back by itself.
   */
  offline: (reason: string, returns: boolean) => unknown;
  /** Without a handler, errors other than `connection` go to the console. */
  error: (error: HeraldError) => unknown;
}

/** Keeps one text by key. What it throws or rejects is reported, and hinders nothing. */
export interface Storage {
  get(key: string): string | null | undefined | Promise<string | null | undefined>;
  /** Not called again before it has returned and its promise is settled. */
  set(key: string, value: string): unknown;
}

/** Options of {@link connect}. */
export interface Options {
  /**
   * Who the client is. A function is asked at each connect, once more when its token is refused,
   * and when the token is about to end.
   */
  token?: string | (() => string | Promise<string>) | undefined;
  /** The client's own word for its device, at most 64 bytes: the sender gets to see it. */
  device?: string | undefined;
  /** The path that the server serves Socket.IO on. Default: `/notice`. */
  path?: string | undefined;
  /**
   * Where the place in the inbox is kept: in `memory` (default), it outlives connections; in
   * `local`, which is the browser's localStorage, it outlives the page; or in a storage of yours.
   */
  storage?: 'memory' | 'local' | Storage | undefined;
  /**
   * Under which key. A place belongs to one user: where several share a browser, the user's id
   * belongs in here. Default: `herald:` and the address.
   */
  key?: string | undefined;
  /**
   * Where to begin when no place is kept: `start` for all that the inbox keeps, or a cursor.
   * Default: with what is accepted from now on.
   */
  cursor?: string | undefined;
  /**
   * Notices that may wait for their handlers. With more the client goes offline until all are
   * handled, and then goes on from its place. Default: 1,000.
   */
  maxWaiting?: number | undefined;
  /** Ids of handled notices that are remembered, to drop what comes again. Default: 2,000. */
  maxSeen?: number | undefined;
  /** How many of them, the latest ones, are kept in the storage too. Default: 100. */
  maxStored?: number | undefined;
  /** Further options for `io()` of socket.io-client. */
  socket?: Partial<ManagerOptions & Omit<SocketOptions, 'auth'>> | undefined;
}

/** A connection that comes back until it is closed. */
export interface Herald<Notices extends object = Record<string, any>> {
  /** Listens to the client's own events; returns a function that ends it. */
  on<Name extends keyof Events>(event: Name, handler: Events[Name]): () => void;
  /**
   * Handles the notices that were sent as `event`, `notice` unless the sender said otherwise;
   * returns a function that ends it. A notice whose handler throws comes again with the next
   * connection. The names of the client's own events are not available to notices.
   */
  on<Name extends keyof Notices & string>(
    event: Exclude<Name, keyof Events>,
    handler: NoticeHandler<Notices[Name]>,
  ): () => void;
  /** Whether the server has registered the session. */
  readonly state: 'online' | 'offline';
  /** The socket.io-client socket underneath. */
  readonly socket: Socket;
  /**
   * Hands in a new token without reconnecting; connects if the client had stopped. Does not
   * replace a token function.
   */
  renew(token: string): void;
  /** Leaves for good. Notices that wait are not handled; a handler at work ends undisturbed. */
  close(): void;
}

/**
 * Connects to a namespace of Herald, for example `https://notices.example.com/notice`. Handlers
 * that are added before this turn of the event loop ends miss nothing.
 *
 * The type parameter maps names of events to the types of their payloads.
 */
export const connect = open as <Notices extends object = Record<string, any>>(
  url: string,
  options?: Options,
) => Herald<Notices>;
