import { readGraph } from './graph.ts';
import type { Check } from './problem.ts';

export const importCycles: Check = {
  name: 'import cycles',
  run: async (root) => {
    const next = new Map<string, Set<string>>();
    for (const { from, target } of await readGraph(root)) {
      if (target.kind !== 'file') continue;
      const targets = next.get(from) ?? new Set();
      next.set(from, targets.add(target.path));
    }
    return findCycles(next).map((cycle) => ({
      where: cycle[0] ?? '',
      what: `imports itself: ${[...cycle, cycle[0]].join(' -> ')}`,
      mend: 'move what both need into a file of its own (a type import counts too)',
    }));
  },
};

/**
 * One cycle for every group of files that reach each other (the strongly connected components, found by
 * Tarjan's algorithm), as the shortest way round from the file that comes first by name.
 */
export function findCycles(next: ReadonlyMap<string, ReadonlySet<string>>): string[][] {
  return components(next)
    .map((group) => new Set(group))
    .filter((group) => group.size > 1 || [...group].some((node) => next.get(node)?.has(node)))
    .map((group) => shortestRound([...group].sort()[0] ?? '', group, next))
    .sort((a, b) => (a[0] ?? '').localeCompare(b[0] ?? '', 'en'));
}

function shortestRound(
  start: string,
  group: ReadonlySet<string>,
  next: ReadonlyMap<string, ReadonlySet<string>>,
): string[] {
  const ways: string[][] = [[start]];
  const seen = new Set<string>();
  for (let way = ways.shift(); way !== undefined; way = ways.shift()) {
    for (const node of next.get(way.at(-1) ?? '') ?? []) {
      if (node === start) return way;
      if (!group.has(node) || seen.has(node)) continue;
      seen.add(node);
      ways.push([...way, node]);
    }
  }
  return [start];
}

function components(next: ReadonlyMap<string, ReadonlySet<string>>): string[][] {
  const index = new Map<string, number>();
  const stack: string[] = [];
  const open = new Set<string>();
  const found: string[][] = [];

  const enter = (node: string): number => {
    const own = index.size;
    let lowest = own;
    index.set(node, own);
    stack.push(node);
    open.add(node);
    for (const target of next.get(node) ?? []) {
      const seen = index.get(target);
      if (seen === undefined) lowest = Math.min(lowest, enter(target));
      else if (open.has(target)) lowest = Math.min(lowest, seen);
    }
    if (lowest === own) {
      const group = stack.splice(stack.indexOf(node));
      for (const member of group) open.delete(member);
      found.push(group);
    }
    return lowest;
  };
  for (const node of [...next.keys()].sort()) if (!index.has(node)) enter(node);
  return found;
}
