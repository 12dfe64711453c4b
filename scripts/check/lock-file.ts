import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Check, Problem } from './problem.ts';

interface Locked {
  version?: string;
  resolved?: string;
  optionalDependencies?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

/** The lock file belongs to package.json, names no registry, and knows every platform's optional packages. */
export const lockFile: Check = {
  name: 'lock file',
  run: async (root) => {
    const lock: { packages?: Record<string, Locked> } = JSON.parse(
      await readFile(join(root, 'package-lock.json'), 'utf8'),
    );
    const manifest: Locked = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    return lockFaults(lock.packages ?? {}, manifest);
  },
};

export function lockFaults(packages: Readonly<Record<string, Locked>>, manifest: Locked): Problem[] {
  const where = 'package-lock.json';
  const problems: Problem[] = [];
  for (const kind of ['dependencies', 'devDependencies'] as const) {
    if (JSON.stringify(sorted(packages['']?.[kind])) !== JSON.stringify(sorted(manifest[kind])))
      problems.push({ where, what: `its ${kind} are not those of package.json`, mend: 'npm install' });
  }
  for (const [path, locked] of Object.entries(packages)) {
    if (locked.resolved !== undefined)
      problems.push({
        where,
        what: `${path} names the address ${locked.resolved}`,
        mend: 'keep omit-lockfile-registry-resolved in .npmrc and run npm install --package-lock-only',
      });
    for (const [name, version] of Object.entries(locked.optionalDependencies ?? {})) {
      // npm ci refuses a lock file that leaves out what an optional dependency names, on any platform.
      if (!reachable(path, name, packages))
        problems.push({
          where,
          what: `${name}@${version}, which ${path} names as optional, is missing`,
          mend: 'npm ci would refuse this file: add the entry (version, os, cpu, optional)',
        });
    }
  }
  return problems;
}

/** Looks for a package as Node does: in the node_modules of each folder from `from` up to the root. */
function reachable(from: string, name: string, packages: Readonly<Record<string, Locked>>): boolean {
  for (let base = from; ; base = base.slice(0, Math.max(0, base.lastIndexOf('/node_modules/')))) {
    if (packages[`${base === '' ? '' : `${base}/`}node_modules/${name}`]) return true;
    if (base === '') return false;
  }
}

const sorted = (record: Record<string, string> = {}): [string, string][] =>
  Object.entries(record).sort(([a], [b]) => a.localeCompare(b, 'en'));
