// What lm-evaluation-harness's `local-completions` does, without Python: its log-likelihood call, and how it reads the reply.
// (Its lm_eval/models/openai_completions.py: _create_payload, parse_logprobs; loglikelihood in api_models.py.) The scores must
// be those of `linnet eval choices`, to the bit.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { startLinnet } from './linnet.mjs';

const model = join(process.env.LINNET_SOURCE, 'models/starter.safetensors');
const folder = mkdtempSync(join(tmpdir(), 'linnet-harness-'));
let server;

before(async () => (server = await startLinnet(model, '--name', 'starter')));
after(() => server.stop());

async function post(path, body) {
  const reply = await fetch(server.url + path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  assert.equal(reply.status, 200, await reply.clone().text());
  return reply.json();
}

const encode = async (prompt) => (await post('/tokenize', { prompt, add_special_tokens: false })).tokens;

/** Score and whether it is what the model would say, of each continuation after each context: [tokens, length of the context]. */
async function logLikelihoods(requests) {
  const { choices } = await post('/v1/completions', {
    model: 'starter', prompt: requests.map(([tokens]) => tokens), temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true,
  });
  return choices.sort((a, b) => a.index - b.index).map(({ logprobs }, i) => {
    const [tokens, context] = requests[i];
    assert.equal(logprobs.token_logprobs.length, tokens.length + 1);
    assert.equal(logprobs.token_logprobs[0], null);
    const own = (list) => list.slice(context, -1);
    const best = (top) => Object.keys(top).reduce((a, b) => (top[b] > top[a] ? b : a));
    return {
      score: own(logprobs.token_logprobs).reduce((sum, value) => sum + value, 0),
      greedy: own(logprobs.tokens).every((token, at) => token === best(own(logprobs.top_logprobs)[at])),
    };
  });
}

const questions = [
  { prompt: 'Question: What is an RNN?\nAnswer:', choices: [' A network with a state.', ' A bird', ' \u4e00\u4e8c'], answer: 0 },
  { prompt: 'How is a model trained?', choices: [' With gradients', ' By hand', ' It sings'], answer: 0 },
  { prompt: 'A', choices: ['B', 'CC', 'DDD', '\u00e9'], answer: 1 },
  { prompt: 'The state of a recurrent network is', choices: [' small.', ' large.'], answer: 0 },
];

test('the tokenizer that it asks for', async () => {
  const { eos_token } = await (await fetch(server.url + '/tokenizer_info')).json();
  assert.deepEqual(await encode(eos_token), [0]);
  const { prompt } = await post('/detokenize', { tokens: await encode('na\u00efve \u4e00') });
  assert.equal(prompt, 'na\u00efve \u4e00');
});

test('log-likelihoods are those of `linnet eval choices`, to the bit', async () => {
  const data = join(folder, 'questions.jsonl'), each = join(folder, 'each.jsonl');
  writeFileSync(data, questions.map((question) => JSON.stringify(question) + '\n').join(''));
  const run = ['eval', 'choices', model, '--data', data, '--each', each, '--json'];
  const summary = JSON.parse(execFileSync(process.env.LINNET_PROGRAM, run, { encoding: 'utf8' }));
  const expected = readFileSync(each, 'utf8').trim().split('\n').map((line) => JSON.parse(line).log_likelihoods);

  // Several requests at once, as the harness's num_concurrent has it.
  const scored = await Promise.all(questions.map(async ({ prompt, choices }) => {
    const context = [0, ...(await encode(prompt))];
    return logLikelihoods(await Promise.all(choices.map(async (choice) => [[...context, ...(await encode(choice))], context.length])));
  }));
  assert.deepEqual(scored.map((choices) => choices.map(({ score }) => score)), expected);
  const right = scored.filter((choices, i) => choices.every(({ score }, c) => c === questions[i].answer || score < choices[questions[i].answer].score));
  assert.equal(right.length / questions.length, summary.accuracy);
});

test('what the model says is greedy, and nothing else is', async () => {
  const context = [0, ...(await encode('Question: What is an RNN?\nAnswer:'))];
  const said = await post('/v1/completions', { model: 'starter', prompt: context, max_tokens: 12, temperature: 0 });
  const tokens = await encode(said.choices[0].text);
  const other = [...tokens.slice(0, -1), tokens.at(-1) === 120 ? 121 : 120];
  const [yes, no] = await logLikelihoods([[[...context, ...tokens], context.length], [[...context, ...other], context.length]]);
  assert.deepEqual([yes.greedy, no.greedy], [true, false]);
});
