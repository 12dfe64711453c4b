import { entriesPath, TILE_WIDTH, tilePath } from '#ledger';

/** Entry bundles stand beside the levels of hash tiles, under this number. */
export const BUNDLES = -1;

/** Path of a tile or bundle below the log's folder. */
export function treePath(level: number, index: number, width: number): string {
  if (level === BUNDLES) return width === TILE_WIDTH ? entriesPath(index) : entriesPath(index, width);
  return width === TILE_WIDTH ? tilePath(level, index) : tilePath(level, index, width);
}
