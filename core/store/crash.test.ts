import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { readJournal, recordsOf, verifyJournal } from './journal-reader.ts';
import { listJournals, recoverLog, recoverLogs } from './log-recovery.ts';
import { journalName } from './paths.ts';
import { makeStore, packetOf } from './testing.ts';

interface Said {
  what: 'acknowledged' | 'ended';
  recording: string;
  seq: number;
  head: string;
  packets: number;
}

/** Runs the child and kills it after so many lines; what it said last of each recording is what it promised. */
async function killAfter(lines: number, args: string[]): Promise<Map<string, Said>> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'testing-child.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const promised = new Map<string, Said>();
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    // Lines that were on their way when it died count as well: it had the acknowledgement.
    const said: Said = JSON.parse(line);
    promised.set(said.recording, said);
    seen += 1;
    if (seen === lines) child.kill('SIGKILL');
  }
  await exited;
  return promised;
}

for (const [run, lines] of [3, 40, 111, 260, 417].entries()) {
  t.test(
    `F23 kill -9 loses nothing acknowledged, with the page cache or without it (run ${run + 1})`,
    async (t) => {
      const dir = t.testdir({});
      const store = await makeStore(join(dir, 'cached'));
      const [recipient = ''] = store.recipients;
      const promised = await killAfter(lines, [store.paths.log('child'), store.paths.journals, recipient]);
      t.ok(promised.size > 0);

      // The same again as if the power had gone: all that was not synced in the journals is lost, the log is there.
      const powerless = await makeStore(join(dir, 'powerless'));
      cpSync(store.paths.dataDir, powerless.paths.dataDir, { recursive: true });
      for (const said of promised.values()) {
        const path = powerless.paths.journal(said.recording, 1);
        // A journal with END may have been synced just before its writer could say so.
        if ((await verifyJournal(path)).status === 'complete') continue;
        const headerBytes = 12 + readFileSync(path).readUInt32BE(8) + 32;
        truncateSync(path, headerBytes);
      }

      for (const { paths } of [store, powerless]) {
        const recovery = await recoverLog({ walDir: paths.log('child'), journalsDir: paths.journals });
        t.equal(recovery.removed, true);
        t.ok(
          recovery.journals.every(({ status }) => status === 'whole'),
          'every journal that the log knows is whole',
        );
        for (const { recording, seq, head, packets, what } of promised.values()) {
          const path = paths.journal(recording, 1);
          const reader = await readJournal(path, { identity: store.identity, acknowledged: { seq, head } });
          let count = 0;
          for await (const block of reader) {
            for (const { packet } of recordsOf(block)) {
              if (!packet.equals(packetOf(count, 60 + (count % 90))))
                t.fail(`packet ${count} of ${recording}`);
              count += 1;
            }
          }
          if (count < packets) t.fail(`${count} of ${packets} packets of ${recording}`);
          const wanted = what === 'ended' ? ['complete'] : ['torn', 'complete'];
          if (!wanted.includes(reader.result.status))
            t.fail(`${recording} is ${reader.result.status}`, reader.result);
        }
        t.same(
          await recoverLogs({ walRoot: paths.wal, journalsDir: paths.journals }),
          [],
          'nothing is left to do',
        );
        t.same(
          readdirSync(paths.journals).filter((name) => !name.endsWith('.scj')),
          [],
        );
        const [first] = promised.keys();
        t.same(await listJournals(paths.journals, first ?? ''), [
          { epoch: 1, path: join(paths.journals, journalName(first ?? '', 1)) },
        ]);
      }
    },
  );
}
