// Every field of /v1/responses and of Ollama's API, by plain HTTP: it changes what comes back, or is refused with status 400
// and its name. None is passed over in silence, but for those that docs/ollama.md says have nothing to change here.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startLinnet } from './linnet.mjs';

let server;
before(async () => {
  server = await startLinnet('--template', 'g1', '--state-store', 'memory');
});
after(() => server.stop());

async function post(path, body) {
  const reply = await fetch(server.url + path, { method: 'POST', body: JSON.stringify(body) });
  const text = await reply.text();
  return { status: reply.status, text, json: reply.headers.get('content-type').includes('json') ? JSON.parse(text.split('\n')[0]) : null };
}

/** An API: what a request is without the field, and the text of its answer. */
const responses = {
  path: '/v1/responses',
  plain: { model: 'starter', input: 'What is a linnet?', seed: 1, temperature: 2, max_output_tokens: 60 },
  textOf: (json) => json.output.at(-1).content[0].text,
  refusal: (json) => json.error.param,
};
const options = { seed: 1, temperature: 2, num_predict: 60 };
const ollama = (path, more) => ({
  path,
  plain: { model: 'starter', stream: false, options, ...more },
  textOf: (json) => json.response ?? json.message.content,
  refusal: (json) => json.error,
});
const chat = ollama('/api/chat', { messages: [{ role: 'user', content: 'What is a linnet?' }] });
const generate = ollama('/api/generate', { prompt: 'What is a linnet?' });
const embed = { ...ollama('/api/embed', { input: 'a bird' }), textOf: (json) => JSON.stringify(json.embeddings) };

async function ask(api, more) {
  const reply = await post(api.path, { ...api.plain, ...more });
  assert.equal(reply.status, 200, `${JSON.stringify(more)}: ${reply.text}`);
  return reply.json;
}
/** Each of these makes the answer another one. */
async function changes(api, fields) {
  const plain = api.textOf(await ask(api, {}));
  assert.equal(api.textOf(await ask(api, {})), plain);
  for (const [name, value] of Object.entries(fields)) {
    assert.notEqual(api.textOf(await ask(api, { [name]: value })), plain, `${name} changes nothing`);
  }
}
/** What names a field: of a format that is no good, the place in its schema is named. */
const named = (name) => new RegExp(name === 'format' ? 'format|schema' : name, 'i');
async function refuses(api, fields) {
  for (const [name, values] of Object.entries(fields)) {
    for (const value of values) {
      const reply = await post(api.path, { ...api.plain, [name]: value });
      assert.equal(reply.status, 400, `${name} ${JSON.stringify(value)}: ${reply.text}`);
      assert.match(api.refusal(reply.json), named(name), reply.text);
    }
  }
}

const sampling = {
  temperature: 0.01, top_p: 0.01, top_k: 1, min_p: 1, typical_p: 0.01, presence_penalty: 2, frequency_penalty: 2, repetition_penalty: 50,
  mirostat_tau: 0.1, logit_bias: { 101: 100 }, seed: 2, stop: ['e'],
};
const schema = { type: 'object', properties: { a: { enum: ['b'] } }, required: ['a'], additionalProperties: false };
const tool = { type: 'function', function: { name: 'f' } };

test('/v1/responses: what changes the text', async () => {
  await changes(responses, {
    ...sampling, input: 'Sing!', instructions: 'Be brief.', max_output_tokens: 5, grammar: 'root ::= "yes"',
    text: { format: { type: 'json_schema', name: 'x', schema } },
  });
  const first = await ask(responses, {});
  await changes(responses, { previous_response_id: first.id });
  await ask(responses, { session: 'fields' });
  await changes({ ...responses, plain: { ...responses.plain, store: false } }, { session: 'fields' });
});

test('/v1/responses: what shows elsewhere', async () => {
  const shown = {
    metadata: { a: 'b' }, user: 'ada', safety_identifier: 'x', prompt_cache_key: 'y', truncation: 'auto', parallel_tool_calls: false,
    store: false, temperature: 0.5, top_p: 0.5, instructions: 'Be brief.', max_output_tokens: 7,
  };
  const response = await ask(responses, shown);
  for (const name of Object.keys(shown)) assert.deepEqual(response[name], shown[name], name);
  assert.equal((await fetch(`${server.url}/v1/responses/${response.id}`)).status, 404);  // store
  const include = ['message.output_text.logprobs'];
  const [part] = (await ask(responses, { include, top_logprobs: 3 })).output.at(-1).content;
  assert.equal(part.logprobs[0].top_logprobs.length, 3);
  assert.equal((await ask(responses, { service_tier: 'auto' })).service_tier, 'default');
  assert.match((await post('/v1/responses', { ...responses.plain, stream: true })).text, /^event: response.created\n/);
  assert.equal((await ask(responses, { reasoning: { effort: 'none' } })).reasoning.effort, 'none');
  const thinking = await ask(responses, { reasoning: { effort: 'high', summary: 'auto' } });
  assert.deepEqual([thinking.output[0].type, thinking.reasoning.effort], ['reasoning', 'high']);
});

test('/v1/responses: what is refused', async () => {
  await refuses(responses, {
    conversation: ['c'], prompt: [{ id: 'p' }], max_tool_calls: [1], context_management: [[{}]], prompt_cache_retention: ['24h'],
    background: [true, 'no'], tools: [[tool], [{ type: 'web_search' }], 'x'], tool_choice: ['required', { type: 'function', name: 'f' }],
    truncation: ['maybe'], service_tier: ['flex'], include: [['file_search_call.results']], top_logprobs: [3, 99],
    stream_options: [{ include_obfuscation: true }, 'x'], reasoning: [{ effort: 'extreme' }, { summary: 'detailed' }, { generate_summary: 'auto' }],
    text: [{ verbosity: 'high' }, { format: { type: 'xml' } }], n: [2], logprobs: [true], response_format: [{ type: 'json_object' }],
    reasoning_effort: ['high'], lora: ['none'], state: ['none'], session: ['a b'], previous_response_id: ['resp_none'], input: [5, []],
    instructions: [5], store: ['x'], stream: ['x'], max_output_tokens: [0, 'x'], parallel_tool_calls: ['x'], temperature: [-1, 'x'],
    top_p: [7], seed: [0.5], stop: [5], logit_bias: [{ x: 1 }],
  });
  const other = await post('/v1/responses', { ...responses.plain, model: 'gpt' });
  assert.deepEqual([other.status, other.json.error.param], [404, 'model']);
});

async function optionsChange(api, values) {
  const plain = api.textOf(await ask(api, {}));
  for (const [name, value] of Object.entries(values)) {
    const answer = await ask(api, { options: { ...options, ...(name === 'mirostat_tau' ? { mirostat: 2 } : {}), [name]: value } });
    assert.notEqual(api.textOf(answer), plain, `options.${name} changes nothing`);
  }
}

for (const api of [chat, generate]) {
  test(`${api.path}: options`, async () => {
    const { repetition_penalty, logit_bias, ...same } = sampling;
    await optionsChange(api, { ...same, repeat_penalty: 50, mirostat: 2, num_predict: 5 });
    const texts = async (more) => api.textOf(await ask(api, { options: { ...options, ...more } }));
    const plain = await texts({});
    assert.equal(await texts({ repeat_penalty: 50, repeat_last_n: 0 }), plain);
    assert.equal(await texts({ repeat_penalty: 50, repeat_last_n: -1 }), await texts({ repeat_penalty: 50 }));
    const eta = async (mirostat_eta) => texts({ mirostat: 2, mirostat_tau: 2, mirostat_eta });
    assert.notEqual(await eta(0), await eta(1));
    for (const [name, wrong] of Object.entries({
      mirostat: { mirostat: 1 }, tfs_z: { tfs_z: 0.5 }, repeat_last_n: { repeat_last_n: 5, repeat_penalty: 2 }, lora: { lora: 'none' },
      state: { state: 'none' }, temperature: { temperature: -1 }, num_predict: { num_predict: 'x' }, stop: { stop: 5 }, seed: { seed: 'x' },
      top_k: { top_k: 0.5 }, top_p: { top_p: 7 }, mirostat_tau: { mirostat: 2, mirostat_tau: -1 },
    })) {
      const reply = await post(api.path, { ...api.plain, options: wrong });
      assert.equal(reply.status, 400, `options.${name}: ${reply.text}`);
      assert.match(reply.json.error, named(name), reply.text);
    }
  });
  test(`${api.path}: fields`, async () => {
    await changes(api, { format: schema, grammar: 'root ::= "yes"' });
    assert.equal(JSON.parse(api.textOf(await ask(api, { format: schema }))).a, 'b');
    assert.ok((await ask(api, { logprobs: true, top_logprobs: 2 })).logprobs[0].top_logprobs.length === 2);
    const thinking = await ask(api, { think: true });
    assert.ok((thinking.thinking ?? thinking.message.thinking).length > 0);
    const { stream, ...streamed } = api.plain;
    assert.ok((await post(api.path, streamed)).text.split('\n').length > 3);  // unless it says otherwise
    await refuses(api, {
      options: ['x'], format: ['xml', { type: 'thing' }], think: ['extreme', 5], stream: ['x'], keep_alive: [{}, true], top_logprobs: [2],
      tools: ['x', [{ type: 'function' }]], tool_choice: ['required'], grammar: ['root'],
    });
    const models = [undefined, 'llama3'].map(async (model) => (await post(api.path, { ...api.plain, model })).status);
    assert.deepEqual(await Promise.all(models), [400, 404]);
  });
}

test('/api/chat: what is its own', async () => {
  const { message } = await ask(chat, { tools: [tool], tool_choice: 'required', options: { num_predict: 300, seed: 1 } });
  assert.ok(message.tool_calls?.length === 1 || message.content.length > 0);
  assert.equal((await ask(chat, { messages: [], keep_alive: 0 })).done_reason, 'unload');
  const images = await post('/api/chat', { ...chat.plain, messages: [{ role: 'user', content: 'Look!', images: ['aGk='] }] });
  assert.deepEqual([images.status, /images/.test(images.json.error)], [400, true]);
});

test('/api/generate: what is its own', async () => {
  const first = await ask(generate, {});
  await changes(generate, { prompt: 'Sing!', system: 'Be brief.', raw: true, context: first.context });
  assert.equal((await ask(generate, { prompt: '', keep_alive: 0 })).done_reason, 'unload');
  await refuses(generate, { suffix: ['x'], template: ['{{ .Prompt }}'], images: [['aGk=']], context: ['x', [-1]] });
  const raw = { ...generate, plain: { ...generate.plain, raw: true } };
  await refuses(raw, { system: ['Be brief.'], context: [first.context], think: [true], tools: [[tool]] });
});

test('/api/embed, /api/embeddings and /api/show', async () => {
  await changes(embed, { input: 'a song' });
  await refuses(embed, { dimensions: [8], input: [5], truncate: ['x'], options: [{ lora: 'x' }, { state: 'x' }] });
  const old = { ...embed, path: '/api/embeddings', plain: { model: 'starter', prompt: 'a bird' } };
  assert.deepEqual((await ask(old, {})).embedding, (await ask(embed, {})).embeddings[0]);
  await refuses(old, { prompt: [5, ['a', 'b']] });
  assert.equal((await post('/api/show', { model: 'llama3' })).status, 404);
});
