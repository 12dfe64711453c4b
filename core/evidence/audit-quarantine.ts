import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { isErrno } from '#store';
import type { AuditFolder } from './audit-files.ts';
import { digestOf, readSmall, shortName, statOf } from './audit-files.ts';

const Note = Type.Object({
  subject: Type.String(),
  why: Type.String(),
  files: Type.Array(
    Type.Object({
      name: Type.String(),
      sizeBytes: Type.Integer(),
      sha256: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
});
const MAX_NOTE_BYTES = 16 * 1024 * 1024;

/** Files in quarantine: the names that notes say, and the paths (in the data folder) of those that are there. */
export interface Quarantine {
  names: Set<string>;
  paths: string[];
}

/**
 * What was taken out of the way, and whether it still is what it was then. Answers the names of the files, by which a
 * recording that failed over its journals finds them.
 */
export async function auditQuarantine(folder: AuditFolder, dir: string): Promise<Quarantine> {
  const found: Quarantine = { names: new Set(), paths: [] };
  try {
    for await (const entry of await opendir(dir)) {
      // Links were told when the folders were walked.
      if (entry.isDirectory()) await auditFolder(folder, join(dir, entry.name), found);
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ENOTDIR')) throw error;
  }
  return found;
}

async function auditFolder(folder: AuditFolder, dir: string, found: Quarantine): Promise<void> {
  const { findings, pace } = folder;
  findings.counts.quarantined += 1;
  const file = shortName(folder, dir);
  const why = join(dir, 'why.json');
  const note = noteIn(await readSmall(why, MAX_NOTE_BYTES, pace));
  if (note === undefined) {
    const problem = 'does not say what was quarantined and why';
    findings.add({ severity: 'fault', kind: 'quarantine', file: shortName(folder, why), problem });
    return;
  }
  findings.add({ severity: 'note', kind: 'quarantine', file, problem: `${note.subject}: ${note.why}` });
  for (const { name, sizeBytes, sha256 } of note.files) {
    // A name out of a file must not lead anywhere else.
    if (name.includes('/') || name === '..') continue;
    found.names.add(name);
    const path = join(dir, name);
    const stat = await statOf(path);
    if (stat === undefined) {
      const problem = 'is neither here nor where it was taken from, or was not moved yet';
      findings.add({ severity: 'note', kind: 'quarantine', file: shortName(folder, path), problem });
    }
    if (stat !== undefined) found.paths.push(shortName(folder, path));
    if (stat?.isFile() !== true || sha256 === null) continue;
    const digest = await digestOf(path, pace);
    if (digest === undefined || (digest.sizeBytes === sizeBytes && digest.sha256 === sha256)) continue;
    const problem = 'was changed after it was quarantined';
    findings.add({ severity: 'fault', kind: 'quarantine', file: shortName(folder, path), problem });
  }
}

function noteIn(bytes: Buffer | undefined): Type.Static<typeof Note> | undefined {
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return Check(Note, value) ? value : undefined;
  } catch {
    // Whatever is wrong with it: it says nothing.
    return undefined;
  }
}
