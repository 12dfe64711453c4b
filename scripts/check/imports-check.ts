import type { Edge } from './graph.ts';
import { readGraph } from './graph.ts';
import type { Room } from './import-table.ts';
import { doorsOf, ROOMS, roomOf, TESTS } from './import-table.ts';
import type { Check, Problem } from './problem.ts';

const TABLE = 'scripts/check/import-table.ts';

export const importTable: Check = {
  name: 'import table',
  run: async (root) => {
    const edges = await readGraph(root);
    return edges.flatMap((edge) => {
      const what = refusal(edge);
      return what === undefined ? [] : [problem(edge, what)];
    });
  },
};

function problem(edge: Edge, what: string): Problem {
  return {
    where: `${edge.from}:${edge.line}`,
    what,
    mend: `have it passed in, or move the code to the room where it belongs; the table is ${TABLE}`,
  };
}

/** Why an import is not allowed, or undefined when it is. */
export function refusal(edge: Edge, rooms: readonly Room[] = ROOMS): string | undefined {
  const from = roomOf(edge.from, rooms);
  const test = TESTS.isTest(edge.from);
  if (!from && !test) return `lies in no room of the table, so it may import nothing`;

  const { target } = edge;
  switch (target.kind) {
    case 'unknown':
      return test ? undefined : `imports ${edge.specifier}, whose target cannot be read from the source`;
    case 'builtin':
      return test || !from ? undefined : refusedBuiltin(from, target.name);
    case 'package':
      return test || !from ? undefined : refusedPackage(from, target.name, edge.typeOnly);
    case 'file':
      return refusedFile(edge, target.path, from, test, rooms);
  }
}

function refusedBuiltin(from: Room, name: string): string | undefined {
  if (!name.startsWith('node:')) return `imports ${name} without the node: prefix`;
  if (from.builtins === 'all') return undefined;
  if (from.builtins !== 'none' && from.builtins.includes(name)) return undefined;
  return `${from.path} may not import ${name}`;
}

function refusedPackage(from: Room, name: string, typeOnly: boolean): string | undefined {
  if (from.packages.includes(name)) return undefined;
  if (!from.typesOfPackages?.includes(name)) return `${from.path} may not import the package ${name}`;
  return typeOnly ? undefined : `${from.path} may import only types of the package ${name}`;
}

function refusedFile(
  edge: Edge,
  path: string,
  from: Room | undefined,
  test: boolean,
  rooms: readonly Room[],
): string | undefined {
  if (path.startsWith('..')) return `imports ${path}, which lies outside the project`;
  if (!test && TESTS.isTest(path)) return `imports ${path}: only tests import tests`;
  const to = roomOf(path, rooms);
  if (test && (TESTS.isTest(path) || TESTS.support.some((folder) => path.startsWith(folder))))
    return undefined;
  if (to && TESTS.isBenchmark(edge.from)) return undefined;
  if (!to) return `imports ${path}, which lies in no room of the table`;
  if (edge.from.startsWith(`${to.path}/`)) return undefined;

  const allowed = test || from?.rooms.includes(to.path) || from?.typesOf?.includes(to.path);
  if (!allowed) return `${from?.path} may not import ${to.path}`;
  if (!doorsOf(to).includes(path))
    return `imports ${path}, past the door of ${to.path} (${doorsOf(to).join(', ')})`;
  if (!test && !from?.rooms.includes(to.path) && !edge.typeOnly)
    return `${from?.path} may import only types of ${to.path}`;
  return undefined;
}
