// For the tests of this room only.
import { mkdirSync } from 'node:fs';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import type { CommitLogOptions } from './commit-log.ts';
import { CommitLog } from './commit-log.ts';
import type { DataFile, StoreFiles } from './files.ts';
import { systemFiles } from './files.ts';
import type { JournalWriterOptions } from './journal-writer.ts';
import { JournalWriter } from './journal-writer.ts';
import type { DataPaths } from './paths.ts';
import { dataPaths } from './paths.ts';

export interface Store {
  paths: DataPaths;
  identity: string;
  recipients: string[];
  /** A log that commits as often as asked, so that tests do not wait. */
  openLog(options?: Partial<CommitLogOptions>): Promise<CommitLog>;
  create(log: CommitLog, options?: Partial<JournalWriterOptions>): Promise<JournalWriter>;
}

export async function makeStore(dir: string): Promise<Store> {
  const paths = dataPaths(dir);
  mkdirSync(paths.journals, { recursive: true });
  mkdirSync(paths.recordings, { recursive: true });
  const identity = await generateX25519Identity();
  const recipients = [await identityToRecipient(identity)];
  return {
    paths,
    identity,
    recipients,
    openLog: (options = {}) =>
      CommitLog.open({
        dir: paths.log('recorder-1'),
        journalsDir: paths.journals,
        maxCommitsPerSecond: 1000,
        ...options,
      }),
    create: (log, options = {}) =>
      JournalWriter.create({
        log,
        recording: crypto.randomUUID(),
        call: crypto.randomUUID(),
        epoch: 1,
        recorder: 'recorder-1',
        recipients,
        ...options,
      }),
  };
}

export type Verb = 'create' | 'write' | 'datasync';

/** Real files whose verbs fail when the test says so. */
export class FailingFiles implements StoreFiles {
  /** Called before each verb; what it throws is the disk's error. */
  before: (verb: Verb, path: string) => void = () => {};
  /** Awaited before each verb of an open file, to make it last. */
  during: (verb: Verb, path: string) => Promise<void> = async () => {};
  /** After a write error this many bytes of the write are on disk anyway. */
  tornBytes = 0;
  /** What a power failure leaves of each file: as much as was written before its last sync began. */
  readonly durableBytes = new Map<string, number>();

  async create(path: string): Promise<DataFile> {
    this.before('create', path);
    const file = await systemFiles.create(path);
    let writtenBytes = 0;
    this.durableBytes.set(path, 0);
    return {
      write: async (buffers, positionBytes) => {
        await this.during('write', path);
        try {
          this.before('write', path);
        } catch (error) {
          const torn = Buffer.concat(buffers).subarray(0, this.tornBytes);
          if (torn.length > 0) await file.write([torn], positionBytes);
          throw error;
        }
        await file.write(buffers, positionBytes);
        writtenBytes = positionBytes + Buffer.concat(buffers).length;
      },
      datasync: async () => {
        await this.during('datasync', path);
        this.before('datasync', path);
        const bytes = writtenBytes;
        await file.datasync();
        this.durableBytes.set(path, bytes);
      },
      close: () => file.close(),
    };
  }
}

export function diskError(code: string): Error {
  return Object.assign(new Error(`${code}: made by the test`), { code });
}

/** Bytes that look like an RTP packet, told apart by their number. */
export function packetOf(number: number, length = 80): Buffer {
  const packet = Buffer.alloc(length, number & 0xff);
  packet[0] = 0x80;
  if (length >= 12) {
    packet.writeUInt16BE(number & 0xffff, 2);
    packet.writeUInt32BE(number, 8);
  }
  return packet;
}
