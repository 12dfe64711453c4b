import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { VerbatimError } from '#protocol';
import { isErrno, mkdirDurable, writeFileDurable } from './durable.ts';
import { IDENTITY_FILE, RECIPIENTS_FILE } from './paths.ts';

const MAX_RECIPIENTS = 16;

/**
 * Makes sure that `secretsDir/server.age` (0600) and `keysDir/recording.pub` exist, and returns the server's
 * recipient. An identity that exists is never replaced: one that is lost takes every recording with it. The
 * recipients follow the settings: `recovery` are the operator's offline keys, for recordings from now on.
 * Both files are in the form that the `age` tools read and write.
 */
export async function generateServerIdentity(
  secretsDir: string,
  keysDir: string,
  recovery: readonly string[] = [],
): Promise<{ recipient: string; created: boolean }> {
  await mkdirDurable(secretsDir);
  await mkdirDurable(keysDir);
  let created = false;
  const identityPath = join(secretsDir, IDENTITY_FILE);
  if ((await readIfThere(identityPath)) === undefined) {
    const identity = await generateX25519Identity();
    const text = `# public key: ${await identityToRecipient(identity)}\n${identity}\n`;
    created = await createOnce(identityPath, text, 0o600);
  }
  const recipient = await identityToRecipient(await readIdentity(secretsDir));
  await writeRecipients(join(keysDir, RECIPIENTS_FILE), [recipient, ...recovery]);
  return { recipient, created };
}

/** The server's identity (AGE-SECRET-KEY-1...). Never log it, never put it into a job. */
export async function readIdentity(secretsDir: string): Promise<string> {
  const path = join(secretsDir, IDENTITY_FILE);
  const lines = significantLines(await readFile(path, 'utf8'));
  const identity = lines[0];
  if (lines.length !== 1 || identity === undefined || !identity.startsWith('AGE-SECRET-KEY-')) {
    throw new VerbatimError('corrupt', `${path}: expected exactly one AGE-SECRET-KEY line`);
  }
  return identity;
}

/** The recipients that every recording is sealed for: the server, and the operator's recovery key if given. */
export async function readRecipients(keysDir: string): Promise<string[]> {
  const path = join(keysDir, RECIPIENTS_FILE);
  const recipients = significantLines(await readFile(path, 'utf8'));
  if (recipients.length === 0 || recipients.length > MAX_RECIPIENTS) {
    throw new VerbatimError(
      'corrupt',
      `${path}: expected 1 to ${MAX_RECIPIENTS} recipients, got ${recipients.length}`,
    );
  }
  for (const recipient of recipients) {
    if (!/^age1[0-9a-z]+$/.test(recipient)) {
      throw new VerbatimError('corrupt', `${path}: expected an age recipient (age1...) on every line`);
    }
  }
  return recipients;
}

async function writeRecipients(path: string, recipients: readonly string[]): Promise<void> {
  const text = recipients.map((each) => `${each}\n`).join('');
  if ((await readIfThere(path)) !== text) await writeFileDurable(path, text, { mode: 0o644 });
}

function significantLines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** False when another process was first: then its file counts. */
async function createOnce(path: string, text: string, mode: number): Promise<boolean> {
  if ((await readIfThere(path)) !== undefined) return false;
  try {
    await writeFileDurable(path, text, { mode, exclusive: true });
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}
