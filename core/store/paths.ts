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
  /** Tiles, entries, checkpoint and write-ahead file of the ledger. */
  readonly ledger: string;
  /** Journals and files that contradict themselves: kept as found, never read as a recording again. */
  readonly quarantine: string;
  /** Verifiers that evidence bundles carry, by the SHA-256 of their bytes: an old bundle stays the same bytes. */
  readonly verifiers: string;
  /** Documents of legal orders, sealed. */
  readonly orders: string;
  readonly postgres: string;
  readonly logs: string;
  /** The server's age identity. */
  readonly identity: string;
  /** The age recipients of every recording, one a line. */
  readonly recipients: string;
  /** The private key that signs checkpoints and receipts (C2SP signed note). */
  readonly ledgerKey: string;
  /** Its public verifier keys, oldest first, one a line. */
  readonly ledgerVkeys: string;
  /** Where openings lie, each of which proves entries of this log; undefined for a log that has none. */
  readonly openings: string | undefined;
  journal(recordingId: string, epoch: number): string;
  /** The commit log of one recorder process. */
  log(recorderId: string): string;
  pay(recordingId: string): string;
  hdr(recordingId: string): string;
  /** The recording's salt: hides the parties and the content in the ledger, and dies with the header. */
  salt(recordingId: string): string;
  /** The sealed document of a legal order. */
  order(removalId: string): { pay: string; hdr: string };
  /** What opens the ledger's commitment of an available recording: hashes, coverage, the covering checkpoint. */
  evidence(recordingId: string): string;
}

export function dataPaths(dataDir: string): DataPaths {
  const secrets = join(dataDir, 'secrets');
  const keys = join(dataDir, 'keys');
  const journals = join(dataDir, 'journals');
  const wal = join(dataDir, 'wal');
  const recordings = join(dataDir, 'recordings');
  const orders = join(dataDir, 'orders');
  return {
    dataDir,
    secrets,
    keys,
    journals,
    wal,
    recordings,
    ledger: join(dataDir, 'ledger'),
    quarantine: join(dataDir, 'quarantine'),
    verifiers: join(dataDir, 'verifiers'),
    orders,
    ledgerKey: join(secrets, 'ledger.key'),
    ledgerVkeys: join(keys, 'ledger.vkeys'),
    postgres: join(dataDir, 'postgres'),
    logs: join(dataDir, 'logs'),
    identity: join(secrets, IDENTITY_FILE),
    recipients: join(keys, RECIPIENTS_FILE),
    openings: recordings,
    journal: (recordingId, epoch) => join(journals, journalName(recordingId, epoch)),
    log: (recorderId) => join(wal, recorderId),
    pay: (recordingId) => join(recordings, `${recordingId}.pay`),
    hdr: (recordingId) => join(recordings, `${recordingId}.hdr`),
    salt: (recordingId) => join(recordings, `${recordingId}.salt`),
    evidence: (recordingId) => join(recordings, `${recordingId}.evd`),
    order: (removalId) => ({ pay: join(orders, `${removalId}.pay`), hdr: join(orders, `${removalId}.hdr`) }),
  };
}

/** The same for the access log, the second log of the folder: its own tree and key. */
export function accessPaths(paths: DataPaths): DataPaths {
  return {
    ...paths,
    ledger: join(paths.dataDir, 'access'),
    ledgerKey: join(paths.secrets, 'access.key'),
    ledgerVkeys: join(paths.keys, 'access.vkeys'),
    openings: undefined,
  };
}

/** Where the signer of the access log remembers its last head. */
export function accessSignerDir(signerDir: string): string {
  return join(signerDir, 'access');
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
