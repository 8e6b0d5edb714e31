// Two servers that share a redis, behind nginx with the configuration of deploy/: one conversation goes on at
// whichever of them is there.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import OpenAI from 'openai';
import { startLinnet } from './linnet.mjs';

const have = (program) => spawnSync('sh', ['-c', `command -v ${program} || command -v /usr/sbin/${program}`]).status === 0;
const missing = ['redis-server', 'nginx'].filter((program) => !have(program));
const folder = mkdtempSync(join(tmpdir(), 'linnet-replicas-'));
const running = new Set(), replicas = [];

after(async () => {
  for (const replica of replicas) replica.process.kill('SIGKILL');
  for (const child of running) child.kill('SIGTERM');
  while (running.size > 0) await sleep(20);
  rmSync(folder, { recursive: true, force: true });
});

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const freePort = () => new Promise((resolve) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
async function answers(port) {
  for (let i = 0; i < 400; ++i) {
    const open = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
      socket.on('error', () => resolve(false));
    });
    if (open) return;
    await sleep(25);
  }
  throw new Error(`nobody listens at port ${port}`);
}
function run(program, ...flags) {
  const child = spawn(program, flags, { stdio: 'inherit', env: { ...process.env, PATH: process.env.PATH + ':/usr/sbin' } });
  running.add(child);
  child.on('exit', () => running.delete(child));
  return child;
}

async function startRedis(port) {
  const child = run('redis-server', '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '',
    '--appendonly', 'yes', '--requirepass', 'secret', '--logfile', join(folder, 'redis.log'));
  await answers(port);
  return child;
}

/** The configuration that is shipped, at other ports and with its files in our folder. */
async function startNginx(port, ports) {
  const shipped = readFileSync(join(process.env.LINNET_SOURCE, 'deploy/nginx.conf'), 'utf8');
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
  const config = shipped.replace('127.0.0.1:8081', `127.0.0.1:${ports[0]}`).replace('127.0.0.1:8082', `127.0.0.1:${ports[1]}`)
    .replace('listen 8080;', `listen 127.0.0.1:${port};`).replace('http {', `http { access_log off; ${paths}`);
  mkdirSync(join(folder, 'logs'), { recursive: true });
  writeFileSync(join(folder, 'nginx.conf'), config);
  run('nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'nginx.log'),
    '-g', `daemon off; pid ${folder}/nginx.pid;`);
  await answers(port);
}

test('a conversation goes on at any replica', { skip: missing.length > 0 && `there is no ${missing.join(' and no ')}` }, async () => {
  const [redisPort, nginxPort, a, b] = [await freePort(), await freePort(), await freePort(), await freePort()];
  let redis = await startRedis(redisPort);
  const start = (port) => startLinnet('--port', String(port), '--state-store', `redis://:secret@127.0.0.1:${redisPort}/1`);
  replicas.push(await start(a), await start(b));
  await startNginx(nginxPort, [a, b]);

  const at = (port) => new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'none', maxRetries: 0 });
  const front = at(nginxPort);
  const model = (await front.models.list()).data[0].id;
  const ask = (client, input, previous, more = {}) =>
    client.responses.create({ model, input, previous_response_id: previous, max_output_tokens: 12, seed: 3, ...more });

  const first = await ask(at(a), 'My name is Ada.');
  const second = await ask(at(b), 'What is my name?', first.id);
  assert.equal((await ask(at(a), 'What is my name?', first.id)).output_text, second.output_text);
  assert.ok(second.usage.input_tokens_details.cached_tokens >= first.usage.total_tokens);

  // Through nginx, pieces come as they are written.
  const times = [];
  const stream = await ask(front, 'Tell me a story.', second.id, { stream: true, max_output_tokens: 200, ignore_eos: true });
  let text = '';
  for await (const event of stream) {
    if (event.type !== 'response.output_text.delta') continue;
    times.push(performance.now());
    text += event.delta;
  }
  assert.ok(times.length > 20 && times.at(-1) - times[0] > 20, `all ${times.length} pieces came at once`);
  const third = await ask(front, 'Tell me a story.', second.id, { max_output_tokens: 200, ignore_eos: true });
  assert.equal(third.output_text, text);

  // One replica is killed, the other goes on; then the first is back and the other leaves.
  replicas[0].process.kill('SIGKILL');
  for (let i = 0; i < 4; ++i) assert.equal((await ask(front, 'What is my name?', first.id)).output_text, second.output_text);
  replicas[0] = await start(a);
  await replicas[1].stop();
  for (let i = 0; i < 4; ++i) assert.equal((await ask(front, 'What is my name?', first.id)).output_text, second.output_text);
  assert.equal((await ask(front, 'And now?', third.id)).previous_response_id, third.id);

  // redis is restarted, too.
  redis.kill('SIGTERM');
  while (running.has(redis)) await sleep(20);
  redis = await startRedis(redisPort);
  assert.equal((await ask(front, 'What is my name?', first.id)).output_text, second.output_text);
  const states = await front.get('/states');
  assert.ok(states.data.length > 10);

  // A store that is gone is an error that says so; the server lives.
  redis.kill('SIGKILL');
  while (running.has(redis)) await sleep(20);
  await assert.rejects(ask(at(a), 'What is my name?', first.id),
    (error) => error instanceof OpenAI.InternalServerError && error.status === 503 && error.code === 'store_failed' &&
      !error.message.includes('secret'));
  assert.ok((await ask(at(a), 'Hello', undefined, { store: false })).output_text.length > 0);
  await replicas[0].stop();
});
