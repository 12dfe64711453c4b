import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Check, Problem } from './problem.ts';

const PAGE = 'docs/dependencies.md';

interface Manifest {
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

/** One row of the table `| package | version | licence | why |`. */
export interface Row {
  name: string;
  version: string;
  licence: string;
  why: string;
  line: number;
}

/** Every package is named with its exact version, its licence and one line of why it is here. */
export const dependencies: Check = {
  name: 'dependencies',
  run: async (root) => {
    const manifest: Manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    const wanted = { ...manifest.dependencies, ...manifest.devDependencies };
    const rows = rowsOf(await readFile(join(root, PAGE), 'utf8'));
    const licences = new Map<string, string>();
    for (const name of Object.keys(wanted)) {
      const installed: { license?: string } = JSON.parse(
        await readFile(join(root, 'node_modules', name, 'package.json'), 'utf8'),
      );
      licences.set(name, installed.license ?? 'none named');
    }
    return compareRows(wanted, rows, licences);
  },
};

export function compareRows(
  wanted: Readonly<Record<string, string>>,
  rows: readonly Row[],
  licences: ReadonlyMap<string, string>,
): Problem[] {
  const problems: Problem[] = [];
  for (const [name, version] of Object.entries(wanted)) {
    const found = rows.filter((row) => row.name === name);
    const [row] = found;
    if (!/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version)) {
      problems.push({
        where: 'package.json',
        what: `${name} is not pinned: ${version}`,
        mend: `name one exact version of ${name}`,
      });
    }
    if (!row) {
      problems.push({ where: PAGE, what: `${name} is missing`, mend: `add a row for ${name}` });
      continue;
    }
    const where = `${PAGE}:${row.line}`;
    if (found.length > 1) problems.push({ where, what: `${name} has two rows`, mend: 'keep one' });
    if (row.version !== version)
      problems.push({ where, what: `${name} is ${row.version}`, mend: `package.json says ${version}` });
    const licence = licences.get(name);
    if (row.licence !== licence)
      problems.push({
        where,
        what: `${name} has the licence ${row.licence}`,
        mend: `the package says ${licence}`,
      });
    if (row.why.length < 10)
      problems.push({ where, what: `${name} does not say why it is here`, mend: 'say it in one line' });
  }
  for (const row of rows) {
    if (wanted[row.name] === undefined)
      problems.push({
        where: `${PAGE}:${row.line}`,
        what: `${row.name} is not in package.json`,
        mend: 'take the row out',
      });
  }
  return problems;
}

/** The rows of the page's tables whose first cell is a package name in backquotes. */
export function rowsOf(page: string): Row[] {
  return page.split('\n').flatMap((text, index) => {
    const cells = text.split('|').map((cell) => cell.trim());
    const name = /^`(.+)`$/.exec(cells[1] ?? '')?.[1];
    if (name === undefined) return [];
    return [{ name, version: cells[2] ?? '', licence: cells[3] ?? '', why: cells[4] ?? '', line: index + 1 }];
  });
}
