// Sends a durable notice from the client's own `connect` callback, over and over, and sees whether
// it arrives.
//
// { url, http, prefix, times, parallel, patience, ...options of io() }
// says: done {times, missed} when all is over; missed {user, why} for each that did not arrive

import { io } from 'socket.io-client';
import { config, obey, say } from './lib/lines.mjs';

const { url, http, prefix, times, parallel, patience, ...options } = config;

function once(user) {
  return new Promise((resolve) => {
    const socket = io(url, { forceNew: true, reconnection: false, auth: { token: user }, ...options });
    let answer = 'nothing was sent';
    let over = false;
    const end = (why) => {
      // Leaving is a disconnect, too.
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.disconnect();
      if (why) say('missed', { user, why });
      resolve(!why);
    };
    const timer = setTimeout(() => end(`no notice; the answer was: ${answer}`), patience);
    socket.on('connect_error', (error) => end(error.message));
    socket.on('disconnect', (reason) => end(reason));
    socket.on('notice', (payload) => end(payload.for === user ? null : JSON.stringify(payload)));
    socket.on('connect', async () => {
      try {
        const response = await fetch(`${http}/v1/notices`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ userId: user, data: { for: user } }),
        });
        answer = await response.text();
        if (!response.ok) end(answer);
      } catch (error) {
        end(String(error));
      }
    });
  });
}

let next = 0;
let missed = 0;
async function worker() {
  while (next < times) {
    if (!(await once(`${prefix}${next++}`))) missed += 1;
  }
}

obey({}, () => {});
await Promise.all(Array.from({ length: parallel }, worker));
say('done', { times, missed });
