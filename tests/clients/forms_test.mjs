// Answers of a demanded form, and tools, with the real `openai` package.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import OpenAI from 'openai';

import { startLinnet } from './linnet.mjs';

const model = 'starter';
const messages = [{ role: 'user', content: 'What is an RNN?' }];
let server, client;

before(async () => {
  server = await startLinnet('--template', 'g1');
  client = new OpenAI({ baseURL: server.url + '/v1', apiKey: 'none is needed', maxRetries: 0 });
});
after(() => server.stop());

const chat = (more) => client.chat.completions.create({ model, messages, seed: 1, max_tokens: 300, ...more });

const schema = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 12 },
    parts: { type: 'array', items: { enum: ['head', 'wing'] }, maxItems: 3 },
    age: { anyOf: [{ type: 'null' }, { type: 'integer', minimum: 0, maximum: 99 }] },
  },
  required: ['name', 'parts', 'age'],
  additionalProperties: false,
};
// Calls that end: a small model that may add properties of any length says them until its tokens are used up.
const nothing = { type: 'object', properties: {}, additionalProperties: false };
const tools = [
  { type: 'function', function: { name: 'now', parameters: nothing } },
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'The weather in a city',
      parameters: { type: 'object', properties: { city: { enum: ['Paris', 'Rome'] } }, required: ['city'] },
    },
  },
];

test('json_schema', async () => {
  for (let seed = 0; seed < 5; ++seed) {
    const reply = await chat({ seed, temperature: 1.5, response_format: { type: 'json_schema', json_schema: { name: 'bird', strict: true, schema } } });
    const value = JSON.parse(reply.choices[0].message.content);
    assert.deepEqual(Object.keys(value), ['name', 'parts', 'age']);
    assert.ok(value.name.length <= 12 && value.parts.length <= 3);
  }
});

test('json_schema through the SDK that parses', async () => {
  const reply = await client.chat.completions.parse({
    model, messages, max_tokens: 300, response_format: { type: 'json_schema', json_schema: { name: 'bird', strict: true, schema } },
  });
  assert.equal(typeof reply.choices[0].message.content, 'string');
});

test('a grammar, in chats and completions', async () => {
  const grammar = 'root ::= "yes" | "no"';
  assert.match((await chat({ grammar })).choices[0].message.content, /^(yes|no)$/);
  const completion = await client.completions.create({ model, prompt: 'Is it? ', grammar, n: 4, temperature: 2 });
  for (const { text, finish_reason } of completion.choices) {
    assert.match(text, /^(yes|no)$/);
    assert.equal(finish_reason, 'stop');
  }
});

test('a call that is demanded', async () => {
  const reply = await chat({ tools, tool_choice: { type: 'function', function: { name: 'get_weather' } } });
  const [choice] = reply.choices;
  assert.equal(choice.finish_reason, 'tool_calls');
  assert.equal(choice.message.content, null);
  const [call] = choice.message.tool_calls;
  assert.ok(call.id.length > 5 && call.type === 'function' && call.function.name === 'get_weather');
  assert.ok(['Paris', 'Rome'].includes(JSON.parse(call.function.arguments).city));
  const next = [...messages, choice.message, { role: 'tool', tool_call_id: call.id, content: '{"celsius":21}' }];
  assert.ok((await chat({ messages: next, tools })).choices.length === 1);
});

/** What a client sees of a stream: its pieces of calls, and what they are together. */
async function streamed(more) {
  const seen = { content: '', calls: [], pieces: [], reason: null };
  for await (const chunk of await chat({ ...more, stream: true })) {
    const [{ delta, finish_reason }] = chunk.choices;
    seen.content += delta.content ?? '';
    seen.reason ??= finish_reason;
    for (const piece of delta.tool_calls ?? []) {
      seen.pieces.push(piece);
      if (piece.id) {
        assert.equal(piece.index, seen.calls.length);
        assert.ok(piece.type === 'function' && piece.function.name && piece.function.arguments === '');
        seen.calls.push({ name: piece.function.name, arguments: '' });
      } else {
        assert.deepEqual([piece.index, Object.keys(piece.function)], [seen.calls.length - 1, ['arguments']]);
      }
      seen.calls[piece.index].arguments += piece.function.arguments;
    }
  }
  return seen;
}

test('arguments stream as they are written', async () => {
  const asked = { tools, tool_choice: { type: 'function', function: { name: 'get_weather' } } };
  const { content, calls, pieces, reason } = await streamed(asked);
  assert.deepEqual([content, reason, calls.length], ['', 'tool_calls', 1]);
  assert.ok(pieces.length > 10);  // a byte is a token of the starter's
  const [call] = (await chat(asked)).choices[0].message.tool_calls;
  assert.equal(calls[0].name, call.function.name);
  assert.deepEqual(JSON.parse(calls[0].arguments), JSON.parse(call.function.arguments));
});

test('the SDK puts calls together', async () => {
  const runner = client.chat.completions.stream({ model, messages, max_tokens: 300, tools, tool_choice: 'required' });
  let deltas = 0;
  runner.on('tool_calls.function.arguments.delta', () => ++deltas);
  const [choice] = (await runner.finalChatCompletion()).choices;
  assert.equal(choice.finish_reason, 'tool_calls');
  assert.equal(typeof JSON.parse(choice.message.tool_calls[0].function.arguments), 'object');
  assert.ok(deltas > 0);
});

// What the model writes is given by a grammar here; that it may be a call is given by the tools.
const writes = (text) => ({ tools, grammar: `root ::= ${JSON.stringify(text)}` });

test('several calls at once, and text', async () => {
  const asked = writes('I ask. ```json\n[{"name": "now", "arguments": {}}, {"name": "get_weather", "arguments": {"city": "一"}}]\n```');
  const { content, calls, reason } = await streamed(asked);
  const [choice] = (await chat(asked)).choices;
  assert.deepEqual([content.trim(), choice.message.content.trim()], ['I ask.', 'I ask.']);
  assert.deepEqual(calls, [{ name: 'now', arguments: '{}' }, { name: 'get_weather', arguments: '{"city": "一"}' }]);
  assert.deepEqual(choice.message.tool_calls.map((call) => call.function), [calls[0], { ...calls[1], arguments: '{"city":"一"}' }]);
  assert.deepEqual([reason, choice.finish_reason], ['tool_calls', 'tool_calls']);
});

test('parallel_tool_calls false ends behind the first call', async () => {
  const [now, weather] = ['{"name":"now","arguments":{}}', '{"name":"get_weather","arguments":{"city":"Rome"}}'];
  const asked = { ...writes('```json\n' + now + '\n' + weather + '\n```\nSo.'), parallel_tool_calls: false };
  const whole = await chat(asked);
  const [{ message, finish_reason }] = whole.choices;
  assert.deepEqual(message.tool_calls.map((call) => call.function), [{ name: 'now', arguments: '{}' }]);
  assert.deepEqual([message.content, finish_reason], [null, 'tool_calls']);
  assert.ok(whole.usage.completion_tokens <= '```json\n'.length + now.length);
  const seen = await streamed(asked);
  assert.deepEqual([seen.content, seen.calls, seen.reason], ['', [{ name: 'now', arguments: '{}' }], 'tool_calls']);
  assert.equal((await chat({ ...asked, parallel_tool_calls: true })).choices[0].message.tool_calls.length, 2);
});

test('what only looks like a call is text', async () => {
  const text = '```json\n{"name": "Ada", "age": 36}\n```';
  const { content, calls, reason } = await streamed(writes(text));
  assert.deepEqual([content, calls, reason], [text, [], 'stop']);
  assert.equal((await chat(writes(text))).choices[0].message.content, text);
});

test('a call that is cut off stays one', async () => {
  const text = '```json\n{"name": "now", "arguments": {"zone": "CET"}}\n```';
  const written = text.slice(text.indexOf('{"zone'));
  let cut = 0;
  for (let max_tokens = 1; max_tokens < text.length - 6; max_tokens += 4) {
    const asked = { ...writes(text), max_tokens };
    const { content, calls, reason } = await streamed(asked);
    const [choice] = (await chat(asked)).choices;
    assert.deepEqual([reason, choice.finish_reason], ['length', 'length']);
    assert.equal(choice.message.content ?? '', content);
    assert.ok(text.startsWith(content));
    if (calls.length === 0) continue;
    cut += calls[0].arguments.length;
    assert.equal(content, '');
    assert.ok(written.startsWith(calls[0].arguments));
    assert.equal(choice.message.tool_calls[0].function.name, 'now');
  }
  assert.ok(cut > 0);
});

test('what cannot be kept is refused by name', async () => {
  const refused = (more, param) =>
    assert.rejects(chat(more), (error) => error instanceof OpenAI.BadRequestError && error.param === param);
  await refused({ grammar: 'root ::= root "a" | "b"' }, 'grammar');
  await refused({ response_format: { type: 'xml' } }, 'response_format.type');
  await refused(
    { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { not: {} } } } }, 'response_format.json_schema.schema');
  await refused({ tool_choice: 'required' }, 'tool_choice');
  await refused({ grammar: 'root ::= "a"', response_format: { type: 'json_object' } }, 'grammar');
});
