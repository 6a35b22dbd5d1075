// Signs JSON Web Tokens with what Node brings along.
//
// { tokens: [{ claims, secret, algorithm }] }; the algorithm is HS256, HS512 or none
// says: token {token} for each

import { createHmac } from 'node:crypto';
import { config, obey, say } from './lib/lines.mjs';

const HASHES = { HS256: 'sha256', HS512: 'sha512' };
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

for (const { claims, secret, algorithm = 'HS256' } of config.tokens) {
  const signed = `${encode({ alg: algorithm, typ: 'JWT' })}.${encode(claims)}`;
  const signature =
    algorithm === 'none' ? '' : createHmac(HASHES[algorithm], secret).update(signed).digest('base64url');
  say('token', { token: `${signed}.${signature}` });
}
obey({}, () => {});
