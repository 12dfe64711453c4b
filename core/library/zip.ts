import { VerbatimError } from '#protocol';

/** A file that is stored in a zip as it is; what is in it may come later. */
export interface ZipMember {
  /** ASCII, relative, with `/`. */
  name: string;
  sizeBytes: number;
  /** Of the content, unsigned. */
  crc32: number;
}

/** Where everything lies: the header before each file, and what follows the last. */
export interface ZipLayout {
  headers: Buffer[];
  directory: Buffer;
  sizeBytes: number;
}

/** 1980-01-01 00:00, the first moment that zip knows (APPNOTE 4.4.6): the same files give the same bytes. */
const DATE = 0x0021;
const VERSION = 10;
/** Version 3 (Unix) and a regular file that everybody may read. */
const MADE_BY = (3 << 8) | VERSION;
const ATTRIBUTES = 0o100644 * 0x10000;
/** Past it a zip needs its 64-bit form, which nothing here is long enough for. */
const MAX_BYTES = 0xffff_ffff;

/** The frame of a zip of stored files (APPNOTE 4.3) in this order. @throws VerbatimError `too_large` past 4 GiB */
export function layOutZip(members: readonly ZipMember[]): ZipLayout {
  const headers: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const member of members) {
    const name = Buffer.from(member.name, 'ascii');
    const common = commonFields(member, name.length);
    const header = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, name]);
    headers.push(header);
    directory.push(centralHeader(common, name, at));
    at += header.length + member.sizeBytes;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  const sizeBytes = at + entries.length + end.length;
  if (sizeBytes > MAX_BYTES) throw new VerbatimError('too_large', 'the bundle would be larger than 4 GiB');
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(at, 16);
  return { headers, directory: Buffer.concat([entries, end]), sizeBytes };
}

/** The 26 bytes that both headers of a file have in common: version, flags, method, time, date, CRC, sizes, lengths. */
function commonFields({ sizeBytes, crc32 }: ZipMember, nameLength: number): Buffer {
  if (sizeBytes > MAX_BYTES)
    throw new VerbatimError('too_large', 'a file of the bundle is larger than 4 GiB');
  const fields = Buffer.alloc(26);
  fields.writeUInt16LE(VERSION, 0);
  fields.writeUInt16LE(DATE, 8);
  fields.writeUInt32LE(crc32, 10);
  fields.writeUInt32LE(sizeBytes, 14);
  fields.writeUInt32LE(sizeBytes, 18);
  fields.writeUInt16LE(nameLength, 22);
  return fields;
}

function centralHeader(common: Buffer, name: Buffer, offset: number): Buffer {
  const head = Buffer.from('PK\x01\x02\0\0', 'latin1');
  head.writeUInt16LE(MADE_BY, 4);
  const tail = Buffer.alloc(14);
  tail.writeUInt32LE(ATTRIBUTES, 6);
  tail.writeUInt32LE(offset, 10);
  return Buffer.concat([head, common, tail, name]);
}
