// What the types allow, and what they do not: this file has to compile.

import { connect, type Gap, type Herald, type HeraldError, type Meta } from '@herald/client';

interface Text {
  text: string;
}
interface Order {
  total: number;
}

const herald = connect<{ notice: Text; order: Order }>('https://notices.example.com/notice', {
  token: async () => 'token',
  device: 'phone',
  storage: { get: (key) => sessionStorage.getItem(key), set: (key, value) => sessionStorage.setItem(key, value) },
  socket: { transports: ['websocket'], reconnectionDelayMax: 10_000 },
});

const off: () => void = herald.on('notice', ({ text }, { id, cursor, sentAt, replayed }) => {
  const all: [string, string, string | undefined, number, boolean] = [text, id, cursor, sentAt, replayed];
  void all;
});
off();
herald.on('order', async ({ total }, meta: Meta) => void [total.toFixed(2), meta.id]);
herald.on('gap', (gap: Gap) => void gap.reason);
herald.on('tokenExpiring', async ({ inMs }, renew) => renew(`${inMs}`));
herald.on('offline', (reason: string, returns: boolean) => void [reason, returns]);
herald.on('error', (error: HeraldError) => void [error.code === 'handler', error.final, error.message]);
const state: 'online' | 'offline' = herald.state;
herald.socket.on('disconnect', () => state);

// @ts-expect-error: no such event
herald.on('orders', () => {});
// @ts-expect-error: another payload
herald.on('order', (payload: Text) => payload);
// @ts-expect-error: a gap is no notice
herald.on('gap', (gap: Gap, meta: Meta) => [gap, meta]);
// @ts-expect-error: a token is a text
connect('', { token: 5 });
// @ts-expect-error: the token goes elsewhere
connect('', { socket: { auth: {} } });
// @ts-expect-error: it is read only
herald.state = 'online';

// Without a declaration of the events, all names are allowed.
const any: Herald = connect('https://notices.example.com/notice');
any.on('whatever', (payload: Text) => payload.text);
any.on('whatever', (payload) => payload.text);
