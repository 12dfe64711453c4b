// Started by crash.test.ts: writes journals until it is killed, and says what was acknowledged.
import { writeSync } from 'node:fs';
import { CommitLog } from './commit-log.ts';
import { JournalWriter } from './journal-writer.ts';
import { packetOf } from './testing.ts';

const [dir = '', journalsDir = '', recipient = ''] = process.argv.slice(2);
const log = await CommitLog.open({ dir, journalsDir, maxCommitsPerSecond: 1000, segmentBytes: 64 * 1024 });

async function call(): Promise<void> {
  for (;;) {
    const writer = await JournalWriter.create({
      log,
      recording: crypto.randomUUID(),
      call: crypto.randomUUID(),
      epoch: 1,
      recorder: 'child',
      recipients: [recipient],
    });
    let packets = 0;
    const say = (what: string, { seq, head }: { seq: number; head: string }) => {
      // Synchronous: a line is out before anything later can be acknowledged.
      writeSync(1, `${JSON.stringify({ what, recording: writer.recording, seq, head, packets })}\n`);
    };
    for (let second = 0; second < 30; second += 1) {
      for (let n = 0; n < 40; n += 1) {
        writer.append(packets % 2 === 0 ? 0 : 1, 0, packetOf(packets, 60 + (packets % 90)), packets * 10_000);
        packets += 1;
      }
      say('acknowledged', await writer.flush({ urgent: true }));
    }
    say('ended', await writer.end('hangup'));
  }
}

await Promise.all(Array.from({ length: 8 }, call));
