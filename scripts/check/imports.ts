import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import ts from 'typescript';

/** One import of a file, whatever its form. */
export interface Import {
  specifier: string;
  /** From 1. */
  line: number;
  /** Nothing of it is left at run time. */
  typeOnly: boolean;
}

/** What an import points at. */
export type Target =
  | { kind: 'file'; path: string }
  | { kind: 'builtin'; name: string }
  | { kind: 'package'; name: string }
  | { kind: 'unknown' };

/** Specifier of an import whose target is computed and can therefore not be checked. */
export const COMPUTED = '(computed)';

/**
 * Every import of a source text: `import`, `import type`, side-effect imports, re-exports, `import()`,
 * `require()`, `import x = require()`, types written as `import('…')`, and `import.meta.resolve()`.
 */
export function importsOf(path: string, text: string): Import[] {
  const { code, firstLine } = path.endsWith('.vue') ? vueScript(text) : { code: text, firstLine: 0 };
  const source = ts.createSourceFile(path, code, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const found: Import[] = [];

  const add = (node: ts.Node, target: ts.Node | undefined, typeOnly: boolean): void => {
    found.push({
      specifier: target && ts.isStringLiteralLike(target) ? target.text : COMPUTED,
      line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1 + firstLine,
      typeOnly,
    });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier, isTypeOnlyImport(node));
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier)
      add(node, node.moduleSpecifier, isTypeOnlyExport(node));
    else if (ts.isImportEqualsDeclaration(node) && ts.isExternalModuleReference(node.moduleReference))
      add(node, node.moduleReference.expression, node.isTypeOnly);
    else if (ts.isImportTypeNode(node))
      add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    else if (ts.isCallExpression(node) && isLoadingCall(node.expression)) add(node, node.arguments[0], false);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isTypeOnlyImport(node: ts.ImportDeclaration): boolean {
  const clause = node.importClause;
  if (!clause) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const names = clause.namedBindings;
  if (clause.name || !names || !ts.isNamedImports(names) || names.elements.length === 0) return false;
  return names.elements.every((element) => element.isTypeOnly);
}

function isTypeOnlyExport(node: ts.ExportDeclaration): boolean {
  if (node.isTypeOnly) return true;
  const names = node.exportClause;
  if (!names || !ts.isNamedExports(names) || names.elements.length === 0) return false;
  return names.elements.every((element) => element.isTypeOnly);
}

function isLoadingCall(callee: ts.Expression): boolean {
  if (callee.kind === ts.SyntaxKind.ImportKeyword) return true;
  if (ts.isIdentifier(callee)) return callee.text === 'require';
  return (
    ts.isPropertyAccessExpression(callee) &&
    callee.name.text === 'resolve' &&
    ts.isMetaProperty(callee.expression)
  );
}

/** The `<script>` parts of a Vue component, kept on their own lines. */
function vueScript(text: string): { code: string; firstLine: number } {
  const code = text
    .split(/(<script[^>]*>[\s\S]*?<\/script>)/)
    .map((part) =>
      part.startsWith('<script')
        ? part.replace(/^<script[^>]*>|<\/script>$/g, '')
        : part.replace(/[^\n]/g, ''),
    )
    .join('');
  return { code, firstLine: 0 };
}

/** Resolves a specifier as Node does with one root package.json; `doors` are its `imports`. */
export function targetOf(from: string, specifier: string, doors: Readonly<Record<string, string>>): Target {
  if (specifier === COMPUTED) return { kind: 'unknown' };
  if (specifier.startsWith('.')) {
    // A query such as `?url` belongs to the bundler, not to the file name.
    const [bare = ''] = specifier.split('?');
    return { kind: 'file', path: posix.join(posix.dirname(from), bare) };
  }
  const door = doors[specifier];
  if (door !== undefined) return { kind: 'file', path: posix.normalize(door) };
  if (specifier.startsWith('#')) return { kind: 'unknown' };
  if (isBuiltin(specifier)) return { kind: 'builtin', name: specifier };
  const [scope = '', name = ''] = specifier.split('/');
  return { kind: 'package', name: specifier.startsWith('@') ? `${scope}/${name}` : scope };
}
