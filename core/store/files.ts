import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { VerbatimError } from '#protocol';
import { isErrno } from './durable.ts';

/** The few verbs that the write path needs of a file, so that tests can make a disk fail. */
export interface DataFile {
  /** Writes all of it, also where the system takes only a part at a time. */
  write(buffers: Buffer[], positionBytes: number): Promise<void>;
  /** fdatasync: the content and the size are durable on return. After an error the file's state is unknown. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

export interface StoreFiles {
  /** Creates with O_EXCL and mode 0600: never opens what is already there. */
  create(path: string): Promise<DataFile>;
}

export const systemFiles: StoreFiles = {
  async create(path) {
    const handle = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    return new SystemFile(handle);
  },
};

class SystemFile implements DataFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(buffers: Buffer[], positionBytes: number): Promise<void> {
    let rest = buffers;
    let position = positionBytes;
    for (;;) {
      let wanted = 0;
      for (const buffer of rest) wanted += buffer.length;
      if (wanted === 0) return;
      const { bytesWritten } = await this.#handle.writev(rest, position);
      if (bytesWritten === wanted) return;
      // A disk that fills up takes a part first; only the next call says ENOSPC.
      if (bytesWritten === 0) throw Object.assign(new Error('nothing was written'), { code: 'EIO' });
      rest = skip(rest, bytesWritten);
      position += bytesWritten;
    }
  }

  async datasync(): Promise<void> {
    await this.#handle.datasync();
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function skip(buffers: Buffer[], bytes: number): Buffer[] {
  const rest: Buffer[] = [];
  let left = bytes;
  for (const buffer of buffers) {
    if (left >= buffer.length) left -= buffer.length;
    else {
      rest.push(left === 0 ? buffer : buffer.subarray(left));
      left = 0;
    }
  }
  return rest;
}

/** Gives an error of the operating system the code that says who has to act. */
export function storeError(cause: unknown, what: string): VerbatimError {
  if (cause instanceof VerbatimError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `${what}: ${reason}`;
  if (isErrno(cause, 'ENOSPC') || isErrno(cause, 'EDQUOT')) {
    return new VerbatimError('no_space', message, { cause });
  }
  if (isErrno(cause, 'EEXIST')) return new VerbatimError('conflict', message, { cause });
  if (isErrno(cause, 'EMFILE') || isErrno(cause, 'ENFILE')) {
    return new VerbatimError('unavailable', message, { cause });
  }
  return new VerbatimError('recording_lost', message, { cause });
}
