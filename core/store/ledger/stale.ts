import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TILE_WIDTH } from '#ledger';
import type { Edge } from './edge.ts';
import type { LedgerFiles } from './files.ts';
import { TEMPORARY } from './files.ts';
import type { Listing } from './listing.ts';
import { treePath } from './tree-path.ts';

/** Partial files that the tree of this edge does not need: superseded ones, and ones of a head never published. */
export function staleFiles(listing: Listing, edge: Edge): string[] {
  const needed = new Set(edge.partials().map(({ path }) => path));
  const stale: string[] = [];
  for (const [level, indexes] of listing.levels) {
    for (const [index, widths] of indexes) {
      for (const width of widths) {
        const path = treePath(level, index, width);
        if (width < TILE_WIDTH && !needed.has(path)) stale.push(path);
      }
    }
  }
  return stale;
}

/** Files on their way when a process ended. Nothing reads them, so one that stays does no harm. */
export async function removeTemporaries(
  files: LedgerFiles,
  listing: Listing,
  dirs: readonly string[],
): Promise<void> {
  const found = [...listing.temporaries];
  for (const dir of dirs) {
    const names = await readdir(dir).catch(() => []);
    found.push(...names.filter((name) => TEMPORARY.test(name)).map((name) => join(dir, name)));
  }
  for (const path of found) await files.remove(path).catch(() => undefined);
}
