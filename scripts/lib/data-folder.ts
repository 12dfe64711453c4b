import { readdir } from 'node:fs/promises';
import { isErrno } from '#store';
import { OperatorError } from './operator-error.ts';

/** What a server makes in its data folder, most of it at the first start. */
const OURS = [
  'daemon.lock',
  'journals',
  'keys',
  'ledger',
  'postgres',
  'quarantine',
  'recordings',
  'secrets',
  'verifiers',
  'wal',
];

/**
 * That a command looks at the folder that was meant: one with none of a server's files in it is more likely mistyped than
 * well. @throws OperatorError
 */
export async function assertDataFolder(dataDir: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(dataDir);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw new OperatorError(`There is no data folder ${dataDir}.`);
    if (isErrno(error, 'ENOTDIR')) throw new OperatorError(`${dataDir} is a file, and no data folder.`);
    throw error;
  }
  if (names.some((name) => OURS.includes(name))) return;
  const holds = names.length === 0 ? 'is empty' : 'holds nothing of a Verbatim server';
  throw new OperatorError(
    `${dataDir} ${holds}, so there is nothing to check: name its data folder with --data-dir.`,
  );
}
