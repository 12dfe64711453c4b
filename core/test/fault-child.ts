/**
 * A process for the tests of crash-preload.ts: writes `<dir>/file` through a temporary in one of the three styles of
 * `node:fs`, syncs the directory, and prints each step that it came past, or the error that it was told.
 */
import {
  closeSync,
  fdatasyncSync,
  fsync,
  fsyncSync,
  openSync,
  open as openWithCallback,
  renameSync,
  rename as renameWithCallback,
  writeSync,
  write as writeWithCallback,
} from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { promisify } from 'node:util';

const [, , style, dir = '.'] = process.argv;
const temporary = `${dir}/file.tmp`;
const bytes = Buffer.from('0123456789');
const said = (step: string) => process.stdout.write(`${step}\n`);

const styles: Record<string, () => Promise<void>> = {
  async promises() {
    const handle = await open(temporary, 'wx');
    said('open');
    await handle.writev([bytes.subarray(0, 4), bytes.subarray(4)], 0);
    said('write');
    await handle.datasync();
    said('datasync');
    await handle.close();
    await rename(temporary, `${dir}/file`);
    said('rename');
    const folder = await open(dir, 'r');
    await folder.sync();
    await folder.close();
    said('sync');
  },
  async synchronous() {
    const file = openSync(temporary, 'wx');
    said('open');
    writeSync(file, bytes, 0, bytes.length, 0);
    said('write');
    fdatasyncSync(file);
    said('datasync');
    closeSync(file);
    renameSync(temporary, `${dir}/file`);
    said('rename');
    const folder = openSync(dir, 'r');
    fsyncSync(folder);
    said('sync');
  },
  async callbacks() {
    const file = await promisify(openWithCallback)(temporary, 'wx');
    said('open');
    await promisify(writeWithCallback)(file, bytes, 0, bytes.length, 0);
    said('write');
    await promisify(fsync)(file);
    said('datasync');
    await promisify(renameWithCallback)(temporary, `${dir}/file`);
    said('rename');
    await promisify(fsync)(await promisify(openWithCallback)(dir, 'r'));
    said('sync');
  },
  async socket() {
    const server = createServer((socket) => socket.on('data', (data) => said(`heard ${data}`)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const socket = connect(address.port, '127.0.0.1');
    for (const word of ['first', 'second'])
      await new Promise<void>((resolve) => socket.write(word, () => resolve()));
    said('sent');
    socket.destroy();
    server.close();
  },
};

try {
  await styles[style ?? '']?.();
} catch (error) {
  said(error instanceof Error && 'code' in error ? String(error.code) : String(error));
}
