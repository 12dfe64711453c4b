import { open } from 'node:fs/promises';
import type { JournalHeader } from './journal-format.ts';
import { fileHeaderLength, parseFileHeader } from './journal-format.ts';

/** A header with the usual two recipients has about 700 bytes. */
const FIRST_READ_BYTES = 4096;

/**
 * Who wrote a journal, of which recording and epoch: its file header alone, whatever comes after it. Undefined when it is
 * not whole. Needs no key. Throws when the file cannot be read.
 */
export async function readJournalHeader(path: string): Promise<JournalHeader | undefined> {
  const file = await open(path, 'r');
  try {
    const start = Buffer.alloc(FIRST_READ_BYTES);
    const { bytesRead } = await file.read(start, 0, start.length, 0);
    const lengthBytes = fileHeaderLength(start.subarray(0, Math.min(bytesRead, 12)));
    if (lengthBytes === undefined) return undefined;
    if (lengthBytes <= bytesRead) return parseFileHeader(start.subarray(0, lengthBytes))?.header;
    const whole = Buffer.alloc(lengthBytes);
    const again = await file.read(whole, 0, lengthBytes, 0);
    return again.bytesRead === lengthBytes ? parseFileHeader(whole)?.header : undefined;
  } finally {
    await file.close();
  }
}
