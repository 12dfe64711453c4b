import { readdir, readFile } from 'node:fs/promises';

/** What the threads of one process got of the processors, in ms since it started. */
export interface ProcessTimes {
  /** All threads. */
  cpuMs: number;
  /** The main thread. */
  mainMs: number;
  /** How long the main thread was ready to run while others ran. */
  waitedMs: number;
}

/**
 * Times of the child of this process whose last argument is `role`, from /proc/PID/task/TID/schedstat: nanoseconds on
 * a processor and waiting for one. Zeros where the kernel does not tell.
 */
export async function childTimes(role: string): Promise<ProcessTimes> {
  const pid = await childOf(role);
  const times: ProcessTimes = { cpuMs: 0, mainMs: 0, waitedMs: 0 };
  if (pid === undefined) return times;
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const [ran, waited] = (await read(`/proc/${pid}/task/${thread}/schedstat`)).split(' ').map(Number);
    times.cpuMs += (ran ?? 0) / 1e6;
    if (thread !== pid) continue;
    times.mainMs = (ran ?? 0) / 1e6;
    times.waitedMs = (waited ?? 0) / 1e6;
  }
  return times;
}

export function timesBetween(before: ProcessTimes, after: ProcessTimes): ProcessTimes {
  return {
    cpuMs: after.cpuMs - before.cpuMs,
    mainMs: after.mainMs - before.mainMs,
    waitedMs: after.waitedMs - before.waitedMs,
  };
}

async function childOf(role: string): Promise<string | undefined> {
  const children = (await read(`/proc/self/task/${process.pid}/children`)).trim().split(' ');
  for (const pid of children) {
    const args = (await read(`/proc/${pid}/cmdline`)).split('\0').filter((arg) => arg !== '');
    if (args.at(-1) === role) return pid;
  }
  return undefined;
}

/** Empty for a file that is not there: the process or thread may end at any moment. */
function read(path: string): Promise<string> {
  return readFile(path, 'latin1').catch(() => '');
}
