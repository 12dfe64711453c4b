import { join } from 'node:path';

/** Where everything lies below the data directory. Only names are made here, nothing is created. */
export interface DataPaths {
  readonly dataDir: string;
  /** 0700; every file in it 0600. */
  readonly secrets: string;
  readonly keys: string;
  readonly journals: string;
  readonly wal: string;
  readonly recordings: string;
  readonly postgres: string;
  readonly logs: string;
  /** The server's age identity. */
  readonly identity: string;
  /** The age recipients of every recording, one a line. */
  readonly recipients: string;
  journal(recordingId: string, epoch: number): string;
  /** The commit log of one recorder process. */
  log(recorderId: string): string;
  pay(recordingId: string): string;
  hdr(recordingId: string): string;
}

export function dataPaths(dataDir: string): DataPaths {
  const secrets = join(dataDir, 'secrets');
  const keys = join(dataDir, 'keys');
  const journals = join(dataDir, 'journals');
  const wal = join(dataDir, 'wal');
  const recordings = join(dataDir, 'recordings');
  return {
    dataDir,
    secrets,
    keys,
    journals,
    wal,
    recordings,
    postgres: join(dataDir, 'postgres'),
    logs: join(dataDir, 'logs'),
    identity: join(secrets, IDENTITY_FILE),
    recipients: join(keys, RECIPIENTS_FILE),
    journal: (recordingId, epoch) => join(journals, journalName(recordingId, epoch)),
    log: (recorderId) => join(wal, recorderId),
    pay: (recordingId) => join(recordings, `${recordingId}.pay`),
    hdr: (recordingId) => join(recordings, `${recordingId}.hdr`),
  };
}

export const IDENTITY_FILE = 'server.age';
export const RECIPIENTS_FILE = 'recording.pub';

const JOURNAL_NAME = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([1-9][0-9]{0,8})\.scj$/;

export function journalName(recordingId: string, epoch: number): string {
  return `${recordingId}-${epoch}.scj`;
}

/** The reverse of `journalName`; undefined for any other file. */
export function parseJournalName(name: string): { recording: string; epoch: number } | undefined {
  const match = JOURNAL_NAME.exec(name);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { recording: match[1], epoch: Number(match[2]) };
}
