import { decodeNumber } from './base64.ts';
import { LedgerError } from './error.ts';

/** No log may be called that, so a receipt is never taken for a checkpoint, nor the other way round. */
export const RECEIPT_FIRST_LINE = 'verbatim/head-receipt/v1';

/** What the server signs during a call: this journal had this head. */
export interface ReceiptFacts {
  origin: string;
  recordingId: string;
  callId: string;
  epoch: number;
  /** Number of the block, and the chain's head c[seq] after it, hex. */
  seq: number;
  head: string;
  /** ISO 8601 in UTC. */
  at: string;
}

/** The text of a receipt; it is signed as a note. */
export function receiptText(facts: ReceiptFacts): string {
  const { origin, recordingId, callId, epoch, seq, head, at } = facts;
  const text = `${[RECEIPT_FIRST_LINE, origin, recordingId, callId, epoch, seq, head, at].join('\n')}\n`;
  parseReceipt(text);
  return text;
}

/** Throws LedgerError. */
export function parseReceipt(text: string): ReceiptFacts {
  const lines = text.split('\n');
  const [first, origin = '', recordingId = '', callId = '', epoch = '', seq = '', head = '', at = '', end] =
    lines;
  if (first !== RECEIPT_FIRST_LINE || lines.length !== 9 || end !== '') {
    throw new LedgerError(`expected a receipt of eight lines that begins with ${RECEIPT_FIRST_LINE}`);
  }
  if (origin === '' || origin === RECEIPT_FIRST_LINE)
    throw new LedgerError('receipt: expected the origin of a log');
  if (!UUID.test(recordingId) || !UUID.test(callId)) throw new LedgerError('receipt: expected two ids');
  if (!/^[0-9a-f]{64}$/.test(head)) throw new LedgerError('receipt: expected a head of 64 hex digits');
  if (!(Date.parse(at) > 0) || new Date(at).toISOString() !== at)
    throw new LedgerError('receipt: expected a time');
  const facts = { origin, recordingId, callId, head, at };
  return {
    ...facts,
    epoch: decodeNumber(epoch, 'epoch of the receipt'),
    seq: decodeNumber(seq, 'seq of the receipt'),
  };
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
