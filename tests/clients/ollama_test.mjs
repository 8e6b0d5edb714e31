// The real `ollama` package against a running `linnet serve` with the model that ships with linnet.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Ollama } from 'ollama';

import { startLinnet, until } from './linnet.mjs';

const model = 'starter';
const messages = [{ role: 'user', content: 'What is an RNN?' }];
const options = { num_predict: 40, seed: 1 };
let server, client;

before(async () => {
  server = await startLinnet('--template', 'g1');
  client = new Ollama({ host: server.url });
});
after(() => server.stop());

test('says that it runs', async () => {
  assert.equal(await (await fetch(server.url)).text(), 'Ollama is running');
  assert.equal((await fetch(server.url, { method: 'HEAD' })).status, 200);
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
});

test('lists, shows and runs the model', async () => {
  const { models } = await client.list();
  assert.deepEqual(models.map((entry) => entry.name), ['starter:latest']);
  assert.ok(models[0].size > 0 && !Number.isNaN(Date.parse(models[0].modified_at)));
  assert.equal((await client.ps()).models[0].digest, models[0].digest);
  const shown = await client.show({ model });
  assert.ok(shown.capabilities.includes('completion'));
  const architecture = shown.model_info['general.architecture'];
  assert.ok(shown.model_info[`${architecture}.context_length`] > 1000);
  assert.equal(shown.details.family, architecture);
});

test('chats, whole and streamed', async () => {
  const whole = await client.chat({ model, messages, options });
  assert.equal(whole.message.role, 'assistant');
  assert.ok(whole.message.content.length > 0);
  assert.ok(whole.done && whole.eval_count > 0 && whole.prompt_eval_count > 0 && whole.total_duration > 0);
  let text = '', last, pieces = 0;
  for await (const part of await client.chat({ model: 'starter:latest', messages, options, stream: true })) {
    text += part.message.content;
    last = part;
    ++pieces;
  }
  assert.equal(text, whole.message.content);
  assert.equal(last.done_reason, whole.done_reason);
  assert.equal(last.eval_count, whole.eval_count);
  assert.ok(pieces > 2);
});

test('generates, with a template, raw, and with a system text', async () => {
  const whole = await client.generate({ model, prompt: 'A state is', options });
  let text = '';
  for await (const part of await client.generate({ model, prompt: 'A state is', options, stream: true })) text += part.response;
  assert.equal(text, whole.response);
  const raw = await client.generate({ model, prompt: 'A state is', raw: true, options });
  assert.ok(raw.prompt_eval_count < whole.prompt_eval_count);
  const taught = await client.generate({ model, prompt: 'A state is', system: 'Be brief.', options });
  assert.ok(taught.prompt_eval_count > whole.prompt_eval_count);
  assert.equal((await client.generate({ model, prompt: '' })).done_reason, 'load');
});

test('goes on from a context', async () => {
  const first = await client.generate({ model, prompt: 'What is an RNN?', options });
  const again = { model, prompt: 'What is a state?', context: first.context, options };
  const second = await client.generate(again);
  assert.deepEqual(second.context.slice(0, first.context.length), first.context);
  assert.ok(second.prompt_eval_count > first.context.length);
  const alone = await client.generate({ ...again, context: undefined });
  assert.ok(alone.prompt_eval_count < second.prompt_eval_count);
});

test('gives logprobs', async () => {
  const scored = await client.chat({ model, messages, options, logprobs: true, top_logprobs: 3 });
  assert.equal(scored.logprobs.length, scored.eval_count);
  assert.ok(scored.logprobs.every(({ logprob, top_logprobs }) => logprob <= 0 && top_logprobs.length === 3));
});

test('what only Ollama has is passed over, not refused', async () => {
  const more = { num_ctx: 4096, num_gpu: 1, num_keep: 4, num_batch: 8, use_mmap: true, numa: false, penalize_newline: false };
  assert.ok((await client.chat({ model, messages, keep_alive: '5m', options: { ...options, ...more } })).done);
  assert.ok((await client.generate({ model, prompt: 'A', keep_alive: -1, template: '', context: [], images: [], options })).done);
  assert.equal((await client.generate({ model, prompt: '', keep_alive: 0 })).done_reason, 'unload');
  assert.equal((await client.embed({ model, input: 'a bird', truncate: true, keep_alive: 60 })).embeddings.length, 1);
});

test('keeps to a format', async () => {
  const any = await client.chat({ model, messages, format: 'json', options: { ...options, num_predict: 400 } });
  if (any.done_reason === 'stop') assert.equal(typeof JSON.parse(any.message.content), 'object');
  const format = {
    type: 'object',
    properties: { colour: { enum: ['red', 'green'] }, count: { type: 'integer', minimum: 1, maximum: 20 } },
    required: ['colour', 'count'],
  };
  for (let seed = 0; seed < 5; ++seed) {
    const reply = await client.chat({ model, messages, format, options: { seed, temperature: 2, num_predict: 200 } });
    const value = JSON.parse(reply.message.content);
    assert.ok(format.properties.colour.enum.includes(value.colour));
    assert.ok(Number.isInteger(value.count) && value.count >= 1 && value.count <= 20);
  }
});

test('calls tools', async () => {
  const tools = [{
    type: 'function',
    function: {
      name: 'add', description: 'Adds', parameters: { type: 'object', required: ['a'], properties: { a: { type: 'integer', maximum: 9 } } },
    },
  }];
  const reply = await client.chat({ model, messages, tools, tool_choice: 'required', options: { seed: 1, num_predict: 300 } });
  const [call] = reply.message.tool_calls;
  assert.equal(call.function.name, 'add');
  assert.ok(Number.isInteger(call.function.arguments.a));
  const next = [...messages, reply.message, { role: 'tool', tool_name: 'add', content: '3' }];
  assert.ok((await client.chat({ model, messages: next, tools, options })).done);
});

test('embeds', async () => {
  const { embeddings, prompt_eval_count } = await client.embed({ model, input: ['a song', 'a bird'] });
  assert.equal(embeddings.length, 2);
  assert.ok(prompt_eval_count > 0);
  assert.ok(Math.abs(embeddings[0].reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3);
  const old = await client.embeddings({ model, prompt: 'a bird' });
  assert.deepEqual(old.embedding, embeddings[1]);
});

test('an abort frees the slot', async () => {
  const stream = await client.chat({ model, messages, stream: true, options: { num_predict: 60000, temperature: 2 } });
  const read = async () => {
    for await (const part of stream) if (part.message.content) stream.abort();
  };
  await assert.rejects(read(), { name: 'AbortError' });
  await until(async () => (await server.figure('jobs_writing')) === 0, 'the text has ended');
});

test('errors say what is wrong', async () => {
  const rejects = (call, status, words) =>
    assert.rejects(call, (error) => error.name === 'ResponseError' && error.status_code === status && words.test(error.message));
  await rejects(client.chat({ model: 'llama3', messages }), 404, /model 'llama3' not found/);
  await rejects(client.show({ model: 'llama3' }), 404, /not found/);
  await rejects(client.chat({ model, messages, options: { temperature: -1 } }), 400, /temperature/);
  await rejects(client.chat({ model, messages, format: { type: 'thing' } }), 400, /there is no type/);
  await rejects(client.generate({ model, prompt: 'x', suffix: 'y' }), 400, /suffix/);
  await rejects(client.pull({ model: 'llama3' }), 501, /not supported/);
});
