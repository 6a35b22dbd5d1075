// What is published.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { transformSync } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const LIMIT = 3_000;

test(`the client is smaller than ${LIMIT} bytes minified`, (t) => {
  const { code } = transformSync(readFileSync(`${root}/dist/index.js`, 'utf8'), { minify: true, format: 'esm' });
  const size = Buffer.byteLength(code);
  t.diagnostic(`size: ${size} bytes minified, ${gzipSync(code).length} compressed`);
  assert.ok(size < LIMIT, `${size} bytes`);
});

test('the package holds what is needed, and nothing else', () => {
  const pack = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ name, files }] = Object.values(JSON.parse(pack));
  assert.equal(name, '@herald/client');
  assert.deepEqual(files.map(({ path }) => path).sort(), [
    'LICENSE-APACHE',
    'LICENSE-MIT',
    'README.md',
    'dist/index.cjs',
    'dist/index.d.cts',
    'dist/index.d.ts',
    'dist/index.js',
    'package.json',
  ]);
});

test('the lock file names no place to download from', () => {
  const { packages } = JSON.parse(readFileSync(`${root}/package-lock.json`, 'utf8'));
  for (const [path, { resolved }] of Object.entries(packages)) assert.equal(resolved, undefined, path);
});
