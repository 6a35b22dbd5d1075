// Writes dist/: the client as ES module and CommonJS, with the types of each.

import { execFileSync } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(fileURLToPath(import.meta.url));
const at = (...path) => join(root, ...path);

await rm(at('dist'), { recursive: true, force: true });

for (const [format, outfile] of [['esm', 'index.js'], ['cjs', 'index.cjs']]) {
  await build({
    entryPoints: [at('src/index.ts')],
    outfile: at('dist', outfile),
    bundle: true,
    packages: 'external',
    format,
    target: 'es2020',
    platform: 'neutral',
    logLevel: 'warning',
  });
}

// All that is public is declared in index.ts, so its declarations stand alone; the same text is
// right for both kinds of module.
const types = await mkdtemp(join(tmpdir(), 'herald-client-'));
try {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  execFileSync(process.execPath, [tsc, '-p', root, '--outDir', types], { stdio: 'inherit' });
  for (const name of ['index.d.ts', 'index.d.cts']) await copyFile(join(types, 'index.d.ts'), at('dist', name));
} finally {
  await rm(types, { recursive: true, force: true });
}

// A package carries its licences; the repository keeps them once.
for (const name of ['LICENSE-APACHE', 'LICENSE-MIT']) await copyFile(at('../..', name), at(name));
