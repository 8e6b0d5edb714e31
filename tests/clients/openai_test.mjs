// The real `openai` package against a running `linnet serve` with the model that ships with linnet.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import OpenAI from 'openai';

import { fileOf, startLinnet, until } from './linnet.mjs';

const model = 'starter';
const question = [{ role: 'user', content: 'What is an RNN?' }];
let server, client;

before(async () => {
  server = await startLinnet();
  client = new OpenAI({ baseURL: server.url + '/v1', apiKey: 'none is needed', maxRetries: 0 });
});
after(() => server.stop());

const chat = (more = {}) => client.chat.completions.create({ model, messages: question, seed: 1, max_tokens: 40, ...more });

test('lists models', async () => {
  const ids = [];
  for await (const entry of client.models.list()) ids.push(entry.id);
  assert.deepEqual(ids, [model]);
  assert.equal((await client.models.retrieve(model)).id, model);
  await assert.rejects(client.models.retrieve('gpt-5'), OpenAI.NotFoundError);
});

test('works without /v1', async () => {
  const bare = new OpenAI({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
  assert.equal((await bare.models.list()).data[0].id, model);
});

test('answers a chat', async () => {
  const reply = await chat();
  assert.equal(reply.object, 'chat.completion');
  assert.equal(reply.model, model);
  const [choice] = reply.choices;
  assert.equal(choice.message.role, 'assistant');
  assert.ok(choice.message.content.length > 0);
  assert.ok(['stop', 'length'].includes(choice.finish_reason));
  assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
  assert.ok(reply._request_id.startsWith('req_'));
});

test('streams the same text', async () => {
  const whole = await chat();
  let text = '', reasons = [], usage, ids = new Set();
  for await (const chunk of await chat({ stream: true, stream_options: { include_usage: true } })) {
    ids.add(chunk.id);
    if (chunk.choices.length === 0) usage = chunk.usage;
    for (const { delta, finish_reason } of chunk.choices) {
      text += delta.content ?? '';
      if (finish_reason) reasons.push(finish_reason);
    }
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.deepEqual(reasons, [whole.choices[0].finish_reason]);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  assert.equal(ids.size, 1);
});

test('the SDK puts a stream together', async () => {
  const runner = client.chat.completions.stream({ model, messages: question, seed: 1, max_tokens: 40, logprobs: true });
  const final = await runner.finalChatCompletion();
  assert.equal(final.choices[0].message.content, (await chat()).choices[0].message.content);
  assert.ok(final.choices[0].logprobs.content.length > 0);
});

test('a second turn costs only what is new', async () => {
  const first = await chat();
  const messages = [...question, first.choices[0].message, { role: 'user', content: 'What is a state?' }];
  const second = await chat({ messages });
  const { prompt_tokens, prompt_tokens_details } = second.usage;
  assert.ok(prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens);
  assert.ok(prompt_tokens - prompt_tokens_details.cached_tokens < 40);
});

test('n, logprobs, stop, logit_bias', async () => {
  const several = await chat({ n: 3, temperature: 2, top_p: 1 });
  assert.equal(new Set(several.choices.map(({ message }) => message.content)).size, 3);
  const scored = await chat({ logprobs: true, top_logprobs: 2 });
  for (const entry of scored.choices[0].logprobs.content) {
    assert.ok(entry.logprob <= entry.top_logprobs[0].logprob);
    assert.equal(Buffer.from(entry.bytes).toString(), entry.token);
  }
  const text = scored.choices[0].message.content;
  const stop = text.slice(6, 9);
  assert.equal((await chat({ stop })).choices[0].message.content, text.slice(0, text.indexOf(stop)).trimEnd());
  const [banned] = scored.choices[0].logprobs.content[0].bytes;  // a byte is a token of the starter's
  const other = await chat({ logit_bias: { [banned]: -100 } });
  assert.ok(!Buffer.from(other.choices[0].message.content).includes(banned));
});

test('completions: echo, logprobs, lists of tokens', async () => {
  const tokens = [0, ...Buffer.from('Question: What is')];
  const reply = await client.completions.create({
    model, prompt: [tokens, tokens.slice(0, 5)], temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true,
  });
  assert.deepEqual(reply.choices.map(({ index }) => index), [0, 1]);
  const { logprobs } = reply.choices[0];
  assert.equal(logprobs.token_logprobs.length, tokens.length + 1);
  assert.equal(logprobs.token_logprobs[0], null);
  assert.ok(logprobs.token_logprobs.slice(1).every((value) => value <= 0));
  let text = '';
  const stream = await client.completions.create({ model, prompt: 'Question: ', max_tokens: 20, seed: 3, stream: true });
  for await (const chunk of stream) text += chunk.choices[0].text;
  const whole = await client.completions.create({ model, prompt: 'Question: ', max_tokens: 20, seed: 3 });
  assert.equal(text, whole.choices[0].text);
});

test('embeddings, as base64 and as numbers', async () => {
  const packed = await client.embeddings.create({ model, input: ['a text', 'another'] });  // asks for base64
  const plain = await client.embeddings.create({ model, input: ['a text', 'another'], encoding_format: 'float' });
  assert.equal(packed.data.length, 2);
  const [a, b] = [packed.data[0].embedding, plain.data[0].embedding];
  assert.equal(a.length, b.length);
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) < 1e-6));
  assert.ok(Math.abs(Math.hypot(...b) - 1) < 1e-5);
});

// Nothing ends it before it is long: chats end at their template's stop texts.
const endless = { model, prompt: 'Question: ', max_tokens: 60000, ignore_eos: true };

test('an abort ends the work', async () => {
  const stream = await client.completions.create({ ...endless, stream: true });
  for await (const _ of stream) break;  // which aborts it
  const controller = new AbortController();
  const asked = client.completions.create(endless, { signal: controller.signal });
  setTimeout(() => controller.abort(), 200);
  await assert.rejects(asked, OpenAI.APIUserAbortError);
  await until(async () => (await server.figure('jobs_total{result="cancelled"}')) === 2, 'both are cancelled');
});

test('errors are the exceptions that they should be', async () => {
  const refused = async (more, type, param) => {
    await assert.rejects(chat(more), (error) => error instanceof type && error.param === param && error.requestID.length > 0);
  };
  await refused({ temperature: -1 }, OpenAI.BadRequestError, 'temperature');
  await refused({ messages: [] }, OpenAI.BadRequestError, 'messages');
  await refused({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
    OpenAI.BadRequestError, 'messages[0].content[0].type');
  await refused({ model: 'gpt-5' }, OpenAI.NotFoundError, 'model');
  await refused({ functions: [] }, OpenAI.BadRequestError, 'functions');
});

test('keys', async () => {
  const guarded = await startLinnet('--api-key-file', fileOf('# test', 'a-secret-key', 'another-key'));
  const with_key = (apiKey) => new OpenAI({ baseURL: guarded.url + '/v1', apiKey, maxRetries: 0 });
  await assert.rejects(with_key('wrong').models.list(), OpenAI.AuthenticationError);
  assert.equal((await with_key('a-secret-key').models.list()).data[0].id, model);
  assert.equal((await fetch(guarded.url + '/health')).status, 200);
  assert.equal((await fetch(guarded.url + '/metrics')).status, 401);
  const cached = async (apiKey) => (await with_key(apiKey).chat.completions.create({ model, messages: question, max_tokens: 5 }))
    .usage.prompt_tokens_details.cached_tokens;
  assert.equal(await cached('a-secret-key'), 0);
  assert.ok(await cached('a-secret-key') > 0);
  assert.equal(await cached('another-key'), 0);  // what one key has said another does not meet
  assert.equal(await guarded.stop(), 0);
});

test('a full queue is a RateLimitError with Retry-After', async () => {
  const small = await startLinnet('--slots', '1', '--queue', '0');
  const its = new OpenAI({ baseURL: small.url + '/v1', apiKey: 'none', maxRetries: 0 });
  const stream = await its.completions.create({ ...endless, stream: true });
  const iterator = stream[Symbol.asyncIterator]();
  await iterator.next();
  await assert.rejects(its.completions.create(endless),
    (error) => error instanceof OpenAI.RateLimitError && Number(error.headers.get('retry-after')) > 0);
  stream.controller.abort();
  assert.equal(await small.stop(), 0);
});

test('SIGTERM lets answers end', async () => {
  const leaving = await startLinnet('--drain', '300');
  const its = new OpenAI({ baseURL: leaving.url + '/v1', apiKey: 'none', maxRetries: 0 });
  const stream = await its.completions.create({ model, prompt: 'A', max_tokens: 100, ignore_eos: true, stream: true });
  let pieces = 0, reason = null;
  for await (const chunk of stream) {
    if (pieces++ === 0) leaving.process.kill('SIGTERM');
    reason = chunk.choices[0].finish_reason ?? reason;
  }
  assert.equal(reason, 'length');
  assert.equal((await leaving.ended)[0], 0);
});
