import { createHash } from 'node:crypto';
import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '#store';
import type { AuditFolder } from './audit-files.ts';
import { digestOf, shortName } from './audit-files.ts';

/** FORMAT.md: a verifier is named by the SHA-256 of the SHA-256 of these, in this order. */
const FILES = ['verify.html', 'verify.mjs'];
const NAME = /^[0-9a-f]{64}$/;

/**
 * The verifiers that bundles carry: without the very bytes that an opening names its bundle cannot be made any more.
 */
export async function auditVerifiers(folder: AuditFolder, dir: string): Promise<void> {
  try {
    for await (const entry of await opendir(dir)) {
      // Links were told when the folders were walked.
      if (!entry.isDirectory() || !NAME.test(entry.name)) continue;
      const digests = await Promise.all(
        FILES.map((name) => digestOf(join(dir, entry.name, name), folder.pace)),
      );
      // A server that is just keeping it, or was killed then: it writes both again.
      if (digests.some((digest) => digest === undefined)) continue;
      const hash = createHash('sha256');
      for (const digest of digests) hash.update(Buffer.from(digest?.sha256 ?? '', 'hex'));
      if (hash.digest('hex') === entry.name) continue;
      const file = shortName(folder, join(dir, entry.name));
      folder.findings.add({
        severity: 'fault',
        kind: 'verifier',
        file,
        problem: 'was changed: bundles that carry it cannot be made',
      });
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ENOTDIR')) throw error;
  }
}
