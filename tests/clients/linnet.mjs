// Starts `linnet serve` on a free port, and ends it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export async function startLinnet(...flags) {
  const child = spawn(process.env.LINNET_PROGRAM, ['serve', ...(flags.includes('--port') ? [] : ['--port', '0']), ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const url = await new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const found = line.match(/at (http:\S+)$/);
      if (found) resolve(found[1]);
    });
    child.on('exit', (code) => reject(new Error(`linnet serve ended with code ${code}`)));
  });
  const ended = once(child, 'exit');
  return {
    url,
    process: child,
    ended,
    async stop() {
      child.kill('SIGTERM');
      const [code] = await ended;
      return code;
    },
    /** A figure of /metrics: 'jobs_waiting', 'http_replies_total{code="2xx"}'. */
    async figure(name) {
      const lines = (await (await fetch(url + '/metrics')).text()).split('\n');
      return Number(lines.find((line) => line.startsWith(`linnet_${name} `)).split(' ')[1]);
    },
  };
}

/** A file with these lines, for flags that want one. */
export function fileOf(...lines) {
  const path = join(mkdtempSync(join(tmpdir(), 'linnet-')), 'file');
  writeFileSync(path, lines.join('\n') + '\n');
  return path;
}

export async function until(holds, what) {
  for (let i = 0; i < 400; ++i) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`waited in vain until ${what}`);
}
