/**
 * A finaliser without a queue, to be killed, or to be failed by its disk: told over IPC what to make, it answers with
 * the result or the error, and how many descriptors it has open.
 */
import { readdirSync } from 'node:fs';
import { VerbatimError } from '#protocol';
import type { FinaliseOptions } from '../finalise.ts';
import { finaliseRecording } from '../finalise.ts';

export interface ChildAnswer {
  result?: Awaited<ReturnType<typeof finaliseRecording>>;
  error?: { code: string; message: string };
  descriptors: number;
}

process.on('message', (options: FinaliseOptions) => {
  void run(options).then((answer) => process.send?.(answer));
});

async function run(options: FinaliseOptions): Promise<ChildAnswer> {
  try {
    return { result: await finaliseRecording(options), descriptors: descriptors() };
  } catch (error) {
    const code = error instanceof VerbatimError ? error.code : String(Reflect.get(Object(error), 'code'));
    const message = error instanceof Error ? error.message : String(error);
    return { error: { code, message }, descriptors: descriptors() };
  }
}

/** -1 when there is none left to count them with. */
function descriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return -1;
  }
}
