import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Name, Person } from '../../scripts/lib/people.ts';
import { launchBrowser, openPerson } from '../../scripts/lib/people.ts';
import { speak } from '../../scripts/lib/speech.ts';
import type { TemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { startTemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { ensureMediaWorker } from '../../scripts/media-worker/ensure.ts';

/** A real server, two real browsers with speech as their microphones, and what a journey asks of them. */
export interface Stage {
  server: TemporaryServer;
  wav: Record<Name, string>;
  folder: string;
  alice: Person;
  bob: Person;
  /** One more page of the same person in the same browser: another device. */
  another(who: Name): Promise<Person>;
  close(): Promise<void>;
}

export async function openStage(env: Record<string, string> = {}): Promise<Stage> {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const each of closers.splice(0).reverse()) await each();
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), 'verbatim-journey-'));
    closers.push(() => rm(folder, { recursive: true, force: true }));
    const mediaWorker = await ensureMediaWorker({ log: () => {} });
    const server = await startTemporaryServer({ mediaWorker, env });
    closers.push(() => server.close());
    const wav = { alice: join(folder, 'alice.wav'), bob: join(folder, 'bob.wav') };
    await Promise.all([speak('alice', wav.alice), speak('bob', wav.bob)]);
    const browsers = {
      alice: await launchBrowser(wav.alice),
      bob: await launchBrowser(wav.bob),
    };
    closers.push(() => Promise.all([browsers.alice.close(), browsers.bob.close()]));
    const open = (who: Name): Promise<Person> =>
      openPerson({ url: server.url, as: who, wav: wav[who], browser: browsers[who] });
    const [alice, bob] = await Promise.all([open('alice'), open('bob')]);
    return { server, wav, folder, alice, bob, another: open, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Process ids of the daemon's worker children with this role, as Linux tells them. */
export async function workerPids(daemonPid: number, role: 'capture' | 'finalise'): Promise<number[]> {
  const children = await readFile(`/proc/${daemonPid}/task/${daemonPid}/children`, 'utf8');
  const pids: number[] = [];
  for (const pid of children.trim().split(/\s+/).map(Number)) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (argv.includes(role)) pids.push(pid);
  }
  return pids;
}

/** The one recording id that a call names once it is recorded. */
export async function recordingIdOf(person: Person): Promise<string> {
  const seen = await person.waitStatus('recording');
  const id = seen.type === 'call' ? seen.call?.recordingId : undefined;
  if (id === undefined) throw new Error('a recorded call names its recording');
  return id;
}

/** Waits until what `ask` answers fits; for state that nobody announces. Bounded. */
export async function until<T>(
  ask: () => Promise<T>,
  fits: (answer: T) => boolean,
  what: string,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (fits(answer)) return answer;
    if (Date.now() > deadline)
      throw new Error(`${what} did not happen; last answer ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Lets the two talk: waits until this much audio was heard, which needs the audio and not only the time. */
export async function talk(person: Person, packets: number): Promise<void> {
  await until(
    () => person.stats(),
    ({ inbound }) => inbound.packets >= packets,
    `hearing ${packets} packets`,
  );
}
