// @herald/client, saying all that happens to it.
//
// { url, token, device, slow: handlers end only when told to }
// says: online · offline · notice {payload, meta} · handled {payload}
// obeys: finish (the handler under way) · drop (breaks the transport)

import { connect } from '../../../clients/js/dist/index.js';
import { config, obey, say } from './lib/lines.mjs';

const { url, slow, ...options } = config;
const herald = connect(url, { ...options, socket: { transports: ['websocket'], forceNew: true } });
let finish = () => {};

herald.on('online', () => say('online'));
herald.on('offline', () => say('offline'));
herald.on('notice', async (payload, meta) => {
  say('notice', { payload, meta });
  if (slow) await new Promise((resolve) => (finish = resolve));
  say('handled', { payload });
});

obey(
  {
    finish: () => finish(),
    drop: () => herald.socket.io.engine.close(),
  },
  () => herald.close(),
);
