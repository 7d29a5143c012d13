// One graphile-worker process, in the conversation that benchmarks/crew.py describes.
// `work` runs jobs; `migrate` only makes the schema.
import { writeFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { Logger, run, runMigrations } from "graphile-worker";

const TICK_MS = 20;
const [action] = process.argv.slice(2);
const environment = process.env;
const connectionString = environment.BENCHMARK_URL;
const concurrentJobs = Number(environment.BENCHMARK_CONCURRENCY);
const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});
const preset = {
  worker: {
    connectionString,
    concurrentJobs,
    maxPoolSize: concurrentJobs + 1,
    localQueue: { size: Number(environment.BENCHMARK_LOCAL_QUEUE) },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    logger,
  },
};

const say = (line) => writeSync(1, `${line}\n`);
const numbers = [];
const startedNs = [];
let count = 0;
let told = 0;

function tell() {
  if (count !== told) {
    say(`ran ${count}`);
    told = count;
  }
}

// Numbers, then times, as 64-bit integers: what run_record.py reads.
function writeRecord(path) {
  writeFileSync(path, Buffer.from(BigInt64Array.from([...numbers, ...startedNs]).buffer));
}

const words = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const nextWord = async () => (await words.next()).value;

async function work() {
  const isRecording = Boolean(environment.BENCHMARK_RECORD);
  const taskList = {
    [environment.BENCHMARK_TASK]: async (payload) => {
      count += 1;
      if (isRecording) {
        numbers.push(BigInt(payload.number));
        startedNs.push(process.hrtime.bigint());
      }
    },
  };
  say("ready");
  if ((await nextWord()) !== "go") return;
  const ticker = setInterval(tell, TICK_MS);
  const runner = await run({ preset, taskList, noHandleSignals: true });
  await nextWord();
  await runner.stop();
  clearInterval(ticker);
  tell();
  if (isRecording) writeRecord(environment.BENCHMARK_RECORD);
}

if (action === "migrate") {
  await runMigrations({ preset });
  say("ready");
  await nextWord();
} else {
  await work();
}
process.exit(0);
