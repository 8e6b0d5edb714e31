// For bench/peers. `measure FILE THREADS` runs a GGUF by llama.cpp and prints its tokens/s as JSON; `summarise
// FILE THREADS TURNS` takes the lines that it and `linnet bench --json` printed in turns, and prints medians.
import {readFileSync} from "node:fs";
import {basename} from "node:path";
import {pathToFileURL} from "node:url";

const kPrompt = 512, kDecoded = 64;

async function measure(file, threads) {
  const home = pathToFileURL(`${process.env.LINNET_PEERS}/node_modules/node-llama-cpp/dist/index.js`);
  const {getLlama} = await import(home);
  const llama = await getLlama({gpu: false, build: "never", logLevel: "error", maxThreads: threads});
  const model = await llama.loadModel({modelPath: file});
  const context = await model.createContext({contextSize: 2048, batchSize: kPrompt, threads, sequences: 1});
  const sequence = context.getSequence();
  const perSecond = (tokens, start) => (1000 * tokens) / (performance.now() - start);
  // Which tokens they are does not change the work. The first passes read the weights and set up the graphs.
  const prompt = (first) => Array.from({length: kPrompt}, (_, i) => ((first + i * 31) % 250) + 1);
  await sequence.evaluateWithoutGeneratingNewTokens(prompt(0));
  let start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt(7));
  const prefill = perSecond(kPrompt, start);
  let tokens = -8;
  for await (const token of sequence.evaluate([5], {temperature: 0, yieldEogToken: true})) {
    if (++tokens === 0) start = performance.now();
    if (tokens === kDecoded) break;
  }
  console.log(JSON.stringify({llama: {decode: perSecond(kDecoded, start), prefill}}));
  process.exit(0); // threads of the library would keep the program alive
}

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b), middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

function summarise(file, threads, turns) {
  const lines = readFileSync(turns, "utf8").trim().split("\n").map((line) => JSON.parse(line));
  const theirs = lines.filter((line) => line.llama).map((line) => line.llama);
  const ours = lines.filter((line) => line.decode);
  const result = {file: basename(file), threads, rounds: ours.length};
  result.read_gb_per_s = median(ours.map((turn) => turn.machine.read_gb_per_s));
  for (const what of ["decode", "prefill"]) {
    const speeds = ours.map((turn) => turn[what].tokens_per_s);
    result[what] = {
      linnet: median(speeds),
      llama_cpp: median(theirs.map((turn) => turn[what])),
      ratio: median(speeds.map((speed, i) => speed / theirs[i][what])),
      ratios: speeds.map((speed, i) => Number((speed / theirs[i][what]).toFixed(2))),
    };
  }
  console.log(JSON.stringify(result));
}

const [, , command, file, threads, turns] = process.argv;
if (command === "measure") await measure(file, Number(threads));
else summarise(file, Number(threads), turns);
