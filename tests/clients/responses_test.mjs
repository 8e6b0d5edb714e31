// OpenAI's own client for /v1/responses, and what linnet adds: sessions and states.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { startLinnet } from './linnet.mjs';

let server, client, model;
const folder = mkdtempSync(join(tmpdir(), 'linnet-states-'));
const store = join(folder, 'states.db');
const ask = (input, more = {}) =>
  client.responses.create({ model, input, max_output_tokens: 16, seed: 1, ...more });

async function start() {
  server = await startLinnet('--state-store', store);
  client = new OpenAI({ baseURL: server.url + '/v1', apiKey: 'none', maxRetries: 0 });
  model = (await client.models.list()).data[0].id;
}
before(start);
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

test('a response', async () => {
  const response = await ask('What is a linnet?', { instructions: 'Be brief.', metadata: { topic: 'birds' } });
  assert.match(response.id, /^resp_/);
  assert.ok(response.output_text.length > 0);
  assert.equal(response.output_text, response.output.at(-1).content[0].text);
  assert.ok(['completed', 'incomplete'].includes(response.status));
  assert.equal(response.metadata.topic, 'birds');
  assert.ok(response.usage.input_tokens > 0 && response.usage.output_tokens <= 16);
  assert.deepEqual(await client.responses.retrieve(response.id), { ...response });
  const items = await client.responses.inputItems.list(response.id);
  assert.deepEqual(items.data.map((item) => [item.role, item.content[0].text]),
    [['user', 'What is a linnet?'], ['system', 'Be brief.']]);
  await client.responses.delete(response.id);
  await assert.rejects(client.responses.retrieve(response.id), OpenAI.NotFoundError);
});

test('a stream gives what a response gives', async () => {
  const whole = await ask('Sing!');
  const stream = await ask('Sing!', { stream: true });
  const types = new Set();
  let text = '', number = 0, last;
  for await (const event of stream) {
    assert.equal(event.sequence_number, number++);
    types.add(event.type);
    if (event.type === 'response.output_text.delta') text += event.delta;
    last = event;
  }
  assert.equal(text, whole.output_text);
  assert.equal(last.type, `response.${whole.status}`);
  assert.equal(last.response.output[0].content[0].text, text);
  assert.deepEqual([...types].slice(0, 5), ['response.created', 'response.in_progress', 'response.output_item.added',
    'response.content_part.added', 'response.output_text.delta']);
  // The client's own way of putting a stream together.
  const helper = client.responses.stream({ model, input: 'Sing!', max_output_tokens: 16, seed: 1 });
  assert.equal((await helper.finalResponse()).output_text, text);
});

test('a stream that is left is ended', async () => {
  const stream = await ask('Sing!', { stream: true, max_output_tokens: 4000, ignore_eos: true });
  for await (const event of stream) if (event.type === 'response.output_text.delta') break;
  for (let i = 0; i < 200 && (await server.figure('jobs_writing')) > 0; ++i) await new Promise((r) => setTimeout(r, 25));
  assert.equal(await server.figure('jobs_writing'), 0);
});

test('previous_response_id goes on, and survives a restart', async () => {
  const first = await ask('My name is Ada.');
  const second = await ask('What is my name?', { previous_response_id: first.id });
  assert.ok(second.usage.input_tokens_details.cached_tokens >= first.usage.total_tokens - 1);
  await server.stop();
  await start();
  const again = await ask('What is my name?', { previous_response_id: first.id });
  assert.equal(again.output_text, second.output_text);
  await assert.rejects(ask('And?', { previous_response_id: 'resp_none' }),
    (error) => error instanceof OpenAI.BadRequestError && error.code === 'previous_response_not_found');
});

test('what is not supported is refused by name', async () => {
  const refused = (more, param) => assert.rejects(ask('Hello', more),
    (error) => error instanceof OpenAI.BadRequestError && error.param === param);
  await refused({ tools: [{ type: 'web_search' }] }, 'tools');
  await refused({ background: true }, 'background');
  await refused({ lora: 'none' }, 'lora');
  await assert.rejects(ask('Hello', { model: 'gpt-5' }), OpenAI.NotFoundError);
});

test('sessions and states', async () => {
  const chat = (text) => client.chat.completions.create({ model, session: 'birds', max_tokens: 12, seed: 2,
    messages: [{ role: 'user', content: text }] });
  await chat('What is a linnet?');
  const two = await chat('And a robin?');
  assert.ok(two.usage.prompt_tokens_details.cached_tokens > 10);
  const state = await client.get('/states/birds');
  assert.equal(state.messages.length, 4);
  await client.post('/states/birds/rollback', { body: { turns: 1 } });
  assert.equal((await chat('And a robin?')).choices[0].message.content, two.choices[0].message.content);
  const file = Buffer.from(await (await fetch(`${server.url}/v1/states/birds/export`)).arrayBuffer());
  const imported = await (await fetch(`${server.url}/v1/states/import?title=Birds`, { method: 'POST', body: file })).json();
  assert.equal(imported.tokens, (await client.get('/states/birds')).tokens);
  const from = (id) => ask('And a wren?', { previous_response_id: id });
  assert.equal((await from(imported.id)).output_text, (await from('birds')).output_text);
  assert.equal((await client.delete('/states/birds')).deleted, true);
  await assert.rejects(client.get('/states/birds'), OpenAI.NotFoundError);
});
